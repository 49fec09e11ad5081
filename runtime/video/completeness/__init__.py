"""Detect truncated video files by comparing the sizes that the container declares with the size of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import lazy_exports

if TYPE_CHECKING:
    from .check import check_complete as check_complete

__getattr__ = lazy_exports(__name__, check=("check_complete",))
