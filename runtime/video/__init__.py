"""Frames from videos, folders and arrays, decoded on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .dlpack import DLPackFrame as DLPackFrame
    from .listed_frames import ListedFrames as ListedFrames
    from .open import open_frames as open_frames
    from .sampling import SAMPLERS as SAMPLERS
    from .sampling import linspace_positions as linspace_positions
    from .source import ArrayFrames as ArrayFrames
    from .source import FolderFrames as FolderFrames
    from .source import FrameSource as FrameSource
    from .video_file import VideoFrames as VideoFrames

__getattr__ = lazy_exports(
    __name__,
    dlpack=("DLPackFrame",),
    listed_frames=("ListedFrames",),
    open=("open_frames",),
    sampling=(
        "SAMPLERS",
        "linspace_positions",
    ),
    source=(
        "ArrayFrames",
        "FolderFrames",
        "FrameSource",
    ),
    video_file=("VideoFrames",),
)
