"""Numbered frame images of a video named in a list file, read the way the Frame Flexible Network reads them.

The number of frames comes from the list; files on disk are not counted. A missing frame is replaced by the video's
first frame, as in the original code, because any other choice would change the published numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .image_file import read_image
from .source import ImageFileFrames


class ListedFrames(ImageFileFrames):
    """Frames `pattern.format(1)` to `pattern.format(count)` in `folder`, converted to RGB.

    A frame that cannot be opened or decoded is replaced by frame 1, as in the original; `replaced` counts these reads
    (a frame kept for a second read counts once). If frame 1 cannot be read either, an error is raised. In that case,
    the original silently substitutes a video chosen at random from the list, so the prediction would be for the wrong
    video.
    """

    def __init__(self, folder: Path, pattern: str, count: int) -> None:
        if count < 1:
            raise FrameError(f"{folder} is listed with {count} frames", "exclude the video")
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
            # a corrupt image has been through the decoder, a missing one has not
            self.frames_decoded += self._path(position).is_file()
        frame = self._first()
        self.replaced += 1
        return frame

    def _first(self) -> NDArray[np.uint8]:
        try:
            return read_image(self._path(0), convert=True)
        except FrameError as error:
            what = f"frame 1 of a video cannot be opened: {error.message}"
            raise FrameError(what, "extract the video's frames again or remove it from the list") from error
