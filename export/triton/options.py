"""Options of ``vbench package``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import UsageError
from .config import Device
from .served.settings import Scheduling

Runner = Literal["onnx", "python"]
_MAX_SLOTS = 1024  # 40 GiB of frames of 640 x 480 in shared memory, for a network that reads ten of each clip


@dataclass(frozen=True)
class PackageOptions:
    """Options of ``vbench package``.

    Attributes:
        precision: one of the bundle's precisions.
        slots: maximum number of rows per call to a part; divided by a network's views, of clips that run together.
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
        if not 1 <= self.slots <= _MAX_SLOTS:
            raise UsageError(f"--slots must be 1 to {_MAX_SLOTS}, got {self.slots}", "choose a number in this range")
        for name, kind in (("device", Device), ("schedule", Scheduling), ("parts", Runner)):
            if getattr(self, name) not in get_args(kind):
                unknown = f"unknown {name} {getattr(self, name)!r}"
                raise UsageError(unknown, f"choose one of {', '.join(get_args(kind))}")
        if self.parts == "python" and self.device == "gpu":
            raise UsageError("--parts python runs on the CPU only, not on --device gpu", "omit one of them")
