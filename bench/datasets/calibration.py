"""Frames to calibrate a quantised network with: those the network would be shown, of videos spread over a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, UsageError
from ...runtime.video.sampling import linspace_positions
from . import Dataset, LeftOut, Video


@dataclass(frozen=True)
class CalibrationVideos:
    """Videos of a data set, decoded one at a time; those that cannot be decoded are skipped and kept in ``skipped``."""

    videos: tuple[Video, ...]
    skipped: list[LeftOut] = field(default_factory=list)

    def clips(self, frames: int) -> Iterator[list[NDArray[np.uint8]]]:
        """Yield for each video the ``frames`` frames that are sampled of it: uint8 RGB ``[H, W, 3]`` in order."""
        for video in self.videos:
            try:
                yield _clip(video, frames)
            except FrameError as error:
                self.skipped.append(LeftOut(video.key, str(error)))


def calibration_videos(dataset: Dataset, count: int) -> CalibrationVideos:
    """Choose ``count`` videos spread evenly over ``dataset`` in its order, all of them if there are no more.

    Data sets stand in the order of their split, often class by class: the first ones would show a few classes only.

    Raises:
        UsageError: ``count`` is not positive.
    """
    if count < 1:
        raise UsageError(f"{count} calibration videos calibrate nothing", "take one or more")
    total = len(dataset.videos)
    count = min(count, total)
    return CalibrationVideos(tuple(dataset.videos[place * total // count] for place in range(count)))


def _clip(video: Video, frames: int) -> list[NDArray[np.uint8]]:
    source = video.open()
    try:
        positions = linspace_positions(len(source), frames)
        source.expect(positions)
        return [source.read(position) for position in positions]
    finally:
        source.close()
