"""Export a checkpoint to a bundle that runs without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .exporter import export_checkpoint as export_checkpoint
    from .options import ExportOptions as ExportOptions

__getattr__ = lazy_exports(
    __name__,
    exporter=("export_checkpoint",),
    options=("ExportOptions",),
)
