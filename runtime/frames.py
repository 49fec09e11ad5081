"""Frames on demand from an array, a folder of pictures or a video file.

A network that stops early must not pay for frames it never looked at, so a source decodes nothing until `read` names
the positions. `random_access` tells a scheduler what reading costs: one frame a frame, or (a video file) everything
before it. Pictures are handed out as they are stored: no orientation tag, no colour conversion, as FrameExit's reader
does it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError

PICTURES = (".jpeg", ".jpg", ".png", ".JPEG", ".JPG", ".PNG")


class FrameSource(Protocol):
    """One video, ready to be decoded."""

    @property
    def random_access(self) -> bool:
        """Whether reading one frame costs one frame, whatever its position."""

    def __len__(self) -> int: ...

    def read(self, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The frames at `positions` (any order, repeats allowed), in that order: uint8 RGB [H, W, 3] each.

        Raises:
            FrameError: a position is outside the video, or a frame cannot be decoded.
        """


def check_positions(positions: Sequence[int], length: int, name: str) -> None:
    """Raise FrameError if a position lies outside a video of `length` frames called `name`."""
    for position in positions:
        if not 0 <= position < length:
            raise FrameError(f"{name} has no frame {position}", f"its frames are 0 to {length - 1}")


class ArrayFrames:
    """Frames that are in memory already: uint8 RGB [T, H, W, 3]."""

    random_access = True

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            found = f"{frames.dtype} {list(frames.shape)}"
            raise FrameError(f"frames are {found}", "give a non-empty uint8 RGB array [T, H, W, 3]")
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
        """See `FrameSource.read`; the frames are views of the array."""
        check_positions(positions, len(self), "the array")
        return [self.frames[position] for position in positions]


class FolderFrames:
    """The pictures of a folder, sorted by name as strings (`frame_10` comes before `frame_2`: pad numbers with zeros).

    Only names that end in one of `extensions` count; other files are ignored. FrameExit's data sets take `.jpeg` alone.
    """

    random_access = True

    def __init__(self, folder: Path, extensions: tuple[str, ...] = PICTURES) -> None:
        self.folder = folder
        self.names = picture_names(folder, extensions)
        if not self.names:
            raise FrameError(f"{folder} holds no picture", f"wanted names that end in {', '.join(extensions)}")

    def __len__(self) -> int:
        return len(self.names)

    def read(self, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
        """See `FrameSource.read`; a repeated position is decoded once."""
        check_positions(positions, len(self), str(self.folder))
        decoded = {position: read_picture(self.folder / self.names[position]) for position in set(positions)}
        return [decoded[position] for position in positions]


def picture_names(folder: Path, extensions: tuple[str, ...] = PICTURES) -> tuple[str, ...]:
    """Names in `folder` that end in one of `extensions`, sorted as strings.

    Raises:
        FrameError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.name.endswith(extensions)))
    except OSError as error:
        raise FrameError(f"cannot list {folder}: {error.strerror}", "name a folder of pictures") from error


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The picture as uint8 RGB [H, W, 3].

    Raises:
        FrameError: the file is missing, damaged or cut short, or is not stored as RGB. Nothing is converted, because
        the
            networks were never shown a converted picture (FrameExit's reader refuses it too).
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode != "RGB":
                raise FrameError(f"{path} is a picture of mode {image.mode}", "convert it to RGB")
            return np.asarray(image, dtype=np.uint8)
    except FileNotFoundError as error:
        raise FrameError(f"{path} does not exist", "give the path of a picture") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise FrameError(f"cannot decode {path}: {reason}", "replace the picture or leave the video out") from error


def open_frames(source: str | Path | NDArray[np.uint8]) -> FrameSource:
    """The frames of a video file, a folder of pictures (.jpeg, .jpg, .png) or a uint8 RGB array [T, H, W, 3].

    Raises:
        FrameError: there is nothing at the path, or nothing in it that could be a frame.
    """
    if isinstance(source, np.ndarray):
        return ArrayFrames(source)
    path = Path(source)
    if path.is_dir():
        return FolderFrames(path)
    if not path.exists():
        raise FrameError(f"{path} does not exist", "give a video file, a folder of pictures or an array")
    from .video import VideoFrames

    return VideoFrames(path)
