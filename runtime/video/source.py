"""Frames on demand from an array, a folder of images or a video file.

A network that exits early must not pay for frames that it never reads, so a source decodes nothing before `read`
(except to count the frames of some video files). `expect` announces the frames that may be read, so that no frame is
decoded twice. Images are returned as stored: orientation tags are ignored and colors are not converted, as in
FrameExit's reader.
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
from .dlpack import Frame
from .image_file import IMAGE_EXTENSIONS, image_names, read_image


class FrameSource(Protocol):
    """A video opened for one clip. Used by one thread at a time, but not always by the same one."""

    @property
    def frames_decoded(self) -> int:
        """Number of frames decoded so far, including those decoded only as references for requested frames."""

    def __len__(self) -> int: ...

    def expect(self, positions: Sequence[int]) -> None:
        """Announce the frames that may be read, in any order, each as many times as it is listed.

        Announced frames that are decoded on the way to another frame are kept until they have been read that many
        times. Other frames can be read too, but doing so may require decoding some frames again.

        Raises:
            FrameError: a position is outside the video, or the source is closed.
        """

    def read(self, position: int) -> Frame:
        """Return the frame at `position` as uint8 RGB [H, W, 3].

        A source may return any DLPack object. One in host memory is used without a copy; one on a GPU requires an
        engine that preprocesses there (`TakesDeviceFrames`).

        Raises:
            FrameError: the position is outside the video, the frame cannot be decoded, or the source is closed.
        """

    def close(self) -> None:
        """Close the video; closing it twice is allowed.

        It may be called from another thread during a read, which then raises a FrameError within roughly the time
        needed to decode one frame.
        """


def check_position(position: int, length: int, name: str) -> None:
    """Raise FrameError if a position is outside a video of `length` frames called `name`."""
    if not 0 <= position < length:
        raise FrameError(f"{name} has no frame {position}", f"choose a frame from 0 to {length - 1}")


class ArrayFrames:
    """Frames already in memory: uint8 RGB [T, H, W, 3].

    `frames_decoded` counts reads, although they cost nothing, so that runs on arrays are comparable with runs on files.
    """

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            found = f"{frames.dtype} {list(frames.shape)}"
            raise FrameError(f"frames are {found}", "pass a non-empty uint8 RGB array [T, H, W, 3]")
        self.frames = frames
        self.frames_decoded = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self.frames)

    def expect(self, positions: Sequence[int]) -> None:
        _check_open(self._closed, "the array")
        for position in positions:
            check_position(position, len(self), "the array")

    def read(self, position: int) -> NDArray[np.uint8]:
        """Return the frame at `position` as a view of the array."""
        _check_open(self._closed, "the array")
        check_position(position, len(self), "the array")
        self.frames_decoded += 1
        frame: NDArray[np.uint8] = self.frames[position]
        return frame

    def close(self) -> None:
        self._closed = True


class ImageFileFrames(ABC):
    """Base class of sources with `length` frames, each stored as an image file in `folder`.

    An image listed twice in `expect` is decoded only once. Subclasses implement `_decode`.
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
        """Return the image at `position` as uint8 RGB [H, W, 3]; raise FrameError if it cannot be read."""

    def __len__(self) -> int:
        return self._length

    def expect(self, positions: Sequence[int]) -> None:
        """Announce the frames that may be read; a second call replaces the first."""
        _check_open(self._closed, str(self.folder))
        for position in positions:
            check_position(position, len(self), str(self.folder))
        self._due, self._kept = Counter(positions), {}

    def read(self, position: int) -> NDArray[np.uint8]:
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
        """Close the source; a read in progress runs to completion, since it decodes a single image."""
        self._closed = True
        self._due, self._kept = Counter(), {}


class FolderFrames(ImageFileFrames):
    """The images in a folder, sorted by name as strings (`frame_10` precedes `frame_2`, so pad numbers with zeros).

    Files whose names do not end in one of `extensions` are ignored. FrameExit's data sets use only `.jpeg`.
    """

    def __init__(self, folder: Path, extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> None:
        self.names = image_names(folder, extensions)
        if not self.names:
            raise FrameError(f"{folder} contains no images", f"add files whose names end in {', '.join(extensions)}")
        super().__init__(folder, len(self.names))

    def _decode(self, position: int) -> NDArray[np.uint8]:
        return read_image(self.folder / self.names[position])


def _check_open(closed: bool, name: str) -> None:
    if closed:
        raise FrameError(f"{name} is closed", "read before closing it")
