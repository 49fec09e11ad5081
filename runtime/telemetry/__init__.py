"""Telemetry: GPU counters and machine load during a run, and the environment recorded with a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .environment import machine as machine
    from .environment import versions as versions
    from .gpu_monitor import Telemetry as Telemetry
    from .gpu_record import GpuRecord as GpuRecord

__getattr__ = lazy_exports(
    __name__,
    environment=(
        "machine",
        "versions",
    ),
    gpu_monitor=("Telemetry",),
    gpu_record=("GpuRecord",),
)
