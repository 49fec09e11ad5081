"""Engines, each of which runs the parts of a bundle with one library on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .base import Engine as Engine
    from .base import load_engine as load_engine
    from .options import ENGINES as ENGINES
    from .options import EngineOptions as EngineOptions

__getattr__ = lazy_exports(
    __name__,
    base=(
        "Engine",
        "load_engine",
    ),
    options=(
        "ENGINES",
        "EngineOptions",
    ),
)
