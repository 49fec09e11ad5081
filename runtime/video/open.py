"""Open a frame source: a video file, a folder of images, or an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .source import ArrayFrames, FolderFrames, FrameSource


def open_frames(source: str | Path | NDArray[np.uint8]) -> FrameSource:
    """Return the frames of a video file, a folder of images (.jpeg, .jpg, .png) or a uint8 RGB array [T, H, W, 3].

    Raises:
        FrameError: the path does not exist, or contains no frame.
    """
    if isinstance(source, np.ndarray):
        return ArrayFrames(source)
    path = Path(source)
    if path.is_dir():
        return FolderFrames(path)
    if not path.exists():
        raise FrameError(f"{path} does not exist", "give a video file, a folder of images or an array")
    from .video_file import VideoFrames

    return VideoFrames(path)
