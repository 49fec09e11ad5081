"""Clip inputs: readers that produce the pixels for each step, and prefetching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .base import NamedClip as NamedClip
    from .base import Reader as Reader
    from .clip_input import open_clip_input as open_clip_input
    from .frame_input import open_frame_input as open_frame_input
    from .prefetch import Prefetcher as Prefetcher

__getattr__ = lazy_exports(
    __name__,
    base=(
        "NamedClip",
        "Reader",
    ),
    clip_input=("open_clip_input",),
    frame_input=("open_frame_input",),
    prefetch=("Prefetcher",),
)
