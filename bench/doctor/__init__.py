"""``vbench doctor``: the runtime"s checks, and those of runs and data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .diagnose import diagnose as diagnose

__getattr__ = lazy_exports(
    __name__,
    diagnose=("diagnose",),
)
