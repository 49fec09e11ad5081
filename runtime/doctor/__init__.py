"""Checks of this machine: processor, disk, decoders, engines and GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .finding import Finding as Finding

__getattr__ = lazy_exports(
    __name__,
    finding=("Finding",),
)
