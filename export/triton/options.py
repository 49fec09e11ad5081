"""Options of ``vbench package``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import UsageError
from .config import Device
from .served.settings import Scheduling

Runner = Literal["onnx", "python"]


@dataclass(frozen=True)
class PackageOptions:
    """Options of ``vbench package``.

    Attributes:
        precision: one of the bundle's precisions.
        slots: maximum number of clips that run together, and of rows per call to a part.
        device: where the parts run; with ``auto``, the server chooses.
        schedule: whether a clip starts as soon as a slot is free (``inflight``), or clips start together.
        parts: what runs the parts: the server's ONNX Runtime backend, or ONNX Runtime in its Python backend.
        force: whether to replace an existing repository.
    """

    precision: str = "fp32"
    slots: int = 32
    device: Device = "auto"
    schedule: Scheduling = "inflight"
    parts: Runner = "onnx"
    force: bool = False

    def check(self) -> None:
        """Raise UsageError if a value is out of range."""
        if self.slots < 1:
            raise UsageError(f"--slots must be >= 1, got {self.slots}", "choose a larger number")
        for name, kind in (("device", Device), ("schedule", Scheduling), ("parts", Runner)):
            if getattr(self, name) not in get_args(kind):
                unknown = f"unknown {name} {getattr(self, name)!r}"
                raise UsageError(unknown, f"choose one of {', '.join(get_args(kind))}")
        if self.parts == "python" and self.device == "gpu":
            raise UsageError("--parts python runs on the CPU only, not on --device gpu", "omit one of them")
