"""Frames on demand from an array, a folder of pictures or a video file.

A network that stops early must not pay for frames it never looked at, so a source decodes nothing until `read` asks
for it; `expect` tells it what else may be asked for, so that nothing is decoded twice. Pictures of folders are handed
out as they are stored: no orientation tag, no colour conversion, as FrameExit's reader does it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .image_file import IMAGE_EXTENSIONS, image_names, read_image


class FrameSource(Protocol):
    """One video, opened for one clip. Used by one thread at a time, not always the same one."""

    @property
    def frames_decoded(self) -> int:
        """Pictures that a decoder has worked on so far, whether asked for or needed for those asked for."""

    def __len__(self) -> int: ...

    def expect(self, positions: Sequence[int]) -> None:
        """Announce which frames may be asked for, in any order, each as often as it is listed.

        Those that are passed on the way to another are kept until they were read that often. Other frames can be read
        too, and may cost decoding some again.

        Raises:
            FrameError: a position is outside the video, or the source was closed.
        """

    def read(self, position: int) -> NDArray[np.uint8]:
        """The frame at `position`: uint8 RGB [H, W, 3].

        Raises:
            FrameError: the position is outside the video, the frame cannot be decoded, or the source was closed.
        """

    def close(self) -> None:
        """Let go of the video; may be called twice.

        May be called from another thread while a read is under way, which then ends with a FrameError within about the
        time that one picture takes to decode.
        """


def check_position(position: int, length: int, name: str) -> None:
    """Raise FrameError if a position lies outside a video of `length` frames called `name`."""
    if not 0 <= position < length:
        raise FrameError(f"{name} has no frame {position}", f"its frames are 0 to {length - 1}")


class ArrayFrames:
    """Frames that are in memory already: uint8 RGB [T, H, W, 3].

    `frames_decoded` counts reads, though they cost nothing, so that a run on arrays compares with one on files.
    """

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            found = f"{frames.dtype} {list(frames.shape)}"
            raise FrameError(f"frames are {found}", "give a non-empty uint8 RGB array [T, H, W, 3]")
        self.frames = frames
        self.frames_decoded = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self.frames)

    def expect(self, positions: Sequence[int]) -> None:
        """See `FrameSource.expect`; there is nothing to keep."""
        _check_open(self._closed, "the array")
        for position in positions:
            check_position(position, len(self), "the array")

    def read(self, position: int) -> NDArray[np.uint8]:
        """See `FrameSource.read`; the frame is a view of the array."""
        _check_open(self._closed, "the array")
        check_position(position, len(self), "the array")
        self.frames_decoded += 1
        frame: NDArray[np.uint8] = self.frames[position]
        return frame

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._closed = True


class ImageFileFrames(ABC):
    """Base of the sources that hold every frame in a file of its own, `length` of them in `folder`.

    A picture that `expect` lists twice is decoded once. A subclass says in `_decode` how a position becomes a picture.
    """

    def __init__(self, folder: Path, length: int) -> None:
        self.folder = folder
        self.frames_decoded = 0
        self._length = length
        self._closed = False
        self._due: Counter[int] = Counter()
        self._kept: dict[int, NDArray[np.uint8]] = {}

    @abstractmethod
    def _decode(self, position: int) -> NDArray[np.uint8]:
        """The picture at `position`, uint8 RGB [H, W, 3]; FrameError if there is none to be had."""

    def __len__(self) -> int:
        return self._length

    def expect(self, positions: Sequence[int]) -> None:
        """See `FrameSource.expect`: a picture listed twice is decoded once; a second call replaces the first."""
        _check_open(self._closed, str(self.folder))
        for position in positions:
            check_position(position, len(self), str(self.folder))
        self._due, self._kept = Counter(positions), {}

    def read(self, position: int) -> NDArray[np.uint8]:
        """See `FrameSource.read`."""
        _check_open(self._closed, str(self.folder))
        check_position(position, len(self), str(self.folder))
        frame = self._kept.pop(position, None)
        if frame is None:
            self.frames_decoded += 1
            frame = self._decode(position)
        self._due[position] -= 1
        if self._due[position] > 0:
            self._kept[position] = frame
        return frame

    def close(self) -> None:
        """See `FrameSource.close`; a read under way, which is of one picture, ends as it would have."""
        self._closed = True
        self._due, self._kept = Counter(), {}


class FolderFrames(ImageFileFrames):
    """The pictures of a folder, sorted by name as strings (`frame_10` comes before `frame_2`: pad numbers with zeros).

    Only names that end in one of `extensions` count; other files are ignored. FrameExit's data sets take `.jpeg` alone.
    """

    def __init__(self, folder: Path, extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> None:
        self.names = image_names(folder, extensions)
        if not self.names:
            raise FrameError(f"{folder} holds no picture", f"wanted names that end in {', '.join(extensions)}")
        super().__init__(folder, len(self.names))

    def _decode(self, position: int) -> NDArray[np.uint8]:
        return read_image(self.folder / self.names[position])


def _check_open(closed: bool, name: str) -> None:
    if closed:
        raise FrameError(f"{name} was closed", "read before closing")
