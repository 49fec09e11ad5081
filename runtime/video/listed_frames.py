"""The numbered pictures of a video that a list file describes, as the Frame Flexible Network reads them.

The list says how many frames a video has; what is on disk is not counted. Where a picture is missing the original looks
at the video's first one instead, and so does this: another choice would give other published numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .image_file import read_image
from .source import ImageFileFrames


class ListedFrames(ImageFileFrames):
    """Frames `pattern.format(1)` to `pattern.format(count)` in `folder`, as RGB whatever their mode.

    A frame that cannot be opened or decoded is replaced by frame 1, as in the original; `replaced` counts the reads
    for which that was done (a picture kept for a second read counts once). Without a frame 1 the read is an error: the
    original then takes another video of the list at random, without a word, which would be another question's answer.
    """

    def __init__(self, folder: Path, pattern: str, count: int) -> None:
        if count < 1:
            raise FrameError(f"{folder} is listed with {count} frames", "leave the video out")
        super().__init__(folder, count)
        self.pattern = pattern
        self.replaced = 0

    def _path(self, position: int) -> Path:
        return self.folder / self.pattern.format(position + 1)

    def _decode(self, position: int) -> NDArray[np.uint8]:
        if position == 0:
            return self._first()
        try:
            return read_image(self._path(position), convert=True)
        except FrameError:
            # a damaged picture has cost a decoder work, a missing one has not
            self.frames_decoded += self._path(position).is_file()
        frame = self._first()
        self.replaced += 1
        return frame

    def _first(self) -> NDArray[np.uint8]:
        try:
            return read_image(self._path(0), convert=True)
        except FrameError as error:
            what = f"frame 1 of a video cannot be opened: {error.message}"
            raise FrameError(what, "extract the video's frames again or take it off the list") from error
