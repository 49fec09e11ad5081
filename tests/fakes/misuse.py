"""The error for rules whose violation real hardware does not report."""

from __future__ import annotations


class Misuse(AssertionError):  # noqa: N818 - a bug of the caller, not a program error
    """A rule of CUDA or TensorRT was violated; on hardware this causes wrong results or a crash."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}" if detail else rule)
        self.rule = rule
