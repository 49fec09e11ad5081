"""Open a frame source: a video file, a folder of images, or an array."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .source import ArrayFrames, FolderFrames, FrameSource


def open_frames(source: str | Path | NDArray[np.uint8]) -> FrameSource:
    """Return a source for a video file, a folder of images (.jpeg, .jpg, .png) or a uint8 RGB array [T, H, W, 3].

    Raises:
        FrameError: the path does not exist, is neither a file nor a folder, or contains no frames.
    """
    if isinstance(source, np.ndarray):
        return ArrayFrames(source)
    path = Path(source)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise FrameError(f"{path} does not exist", "pass a video file, a folder of images or an array") from None
    except (OSError, ValueError) as error:  # a name that is too long or contains a NUL, or an inaccessible folder
        reason = error.strerror if isinstance(error, OSError) else error
        raise FrameError(f"cannot open {path}: {reason}", "check the path and its permissions") from error
    if is_folder:
        return FolderFrames(path)
    from .video_file import VideoFrames

    return VideoFrames(path)
