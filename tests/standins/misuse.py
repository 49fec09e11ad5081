"""The one error for what real hardware would let pass: a rule broken without a sign of it."""

from __future__ import annotations


class Misuse(AssertionError):  # noqa: N818 - it is no error of the program's own
    """A rule of CUDA or TensorRT was broken in a way that hardware answers with wrong numbers or a crash."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}" if detail else rule)
        self.rule = rule
