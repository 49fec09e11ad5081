"""Measurements of a bundle on this machine, stored in the bundle's folder: latencies, times of engines, and audits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .identity import cpu_identity as cpu_identity
    from .store import MeasurementStore as MeasurementStore

__getattr__ = lazy_exports(
    __name__,
    identity=("cpu_identity",),
    store=("MeasurementStore",),
)
