"""What figures read of a run: operating point, timing, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .operating_point import OperatingPoint as OperatingPoint
    from .operating_point import operating_point as operating_point

__getattr__ = lazy_exports(
    __name__,
    operating_point=(
        "OperatingPoint",
        "operating_point",
    ),
)
