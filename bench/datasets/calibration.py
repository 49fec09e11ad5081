"""Calibration frames for a quantized network: the ones it would sample from videos spread across a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, UsageError
from ...runtime.inputs.base import frame_rate
from ...runtime.video.dlpack import host_frame
from ...runtime.video.sampling import SAMPLERS, Sampler
from . import Dataset, LeftOut, Video


@dataclass(frozen=True)
class CalibrationVideos:
    """Videos decoded one at a time; undecodable ones are skipped and recorded in ``skipped``."""

    videos: tuple[Video, ...]
    skipped: list[LeftOut] = field(default_factory=list)

    def clips(self, frames: int, sampling: str) -> Iterator[list[NDArray[np.uint8]]]:
        """Yield one clip per video: ``frames`` frames sampled by the rule ``sampling``, uint8 RGB ``[H, W, 3]``."""
        for video in self.videos:
            try:
                yield _clip(video, frames, SAMPLERS[sampling])
            except FrameError as error:
                left_out = LeftOut(video.key, str(error))
                if left_out not in self.skipped:  # clips may be read once per frame count
                    self.skipped.append(left_out)


def calibration_videos(dataset: Dataset, count: int) -> CalibrationVideos:
    """Choose ``count`` videos spread evenly across ``dataset``, or all of its videos if it has fewer.

    Data sets are often ordered by class, so the first videos would cover only a few classes.

    Raises:
        UsageError: ``count`` is not positive.
    """
    if count < 1:
        raise UsageError(f"the number of calibration videos must be >= 1, got {count}")
    total = len(dataset.videos)
    count = min(count, total)
    return CalibrationVideos(tuple(dataset.videos[place * total // count] for place in range(count)))


def _clip(video: Video, frames: int, sampler: Sampler) -> list[NDArray[np.uint8]]:
    source = video.open()
    try:
        (positions,) = sampler(len(source), frames, frame_rate(source), 1)
        source.expect(positions)
        return [host_frame(source.read(position)) for position in positions]
    finally:
        source.close()
