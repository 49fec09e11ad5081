"""Conversion of bundles, runs and traces from older schema versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .migrate import find_targets as find_targets
    from .migrate import migrate_target as migrate_target

__getattr__ = lazy_exports(
    __name__,
    migrate=(
        "find_targets",
        "migrate_target",
    ),
)
