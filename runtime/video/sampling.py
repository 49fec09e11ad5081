"""Frame sampling rules: the positions of the frames that a network reads.

`linspace_positions` is the rule of FrameExit's published reader: `linspace(0, L, count)` with the end point included,
clipped to the last frame, then truncated. It uses integer arithmetic, so that float rounding cannot shift a position.
`tsn_segment_positions` is the rule of TSM, TEA and their frame-flexible variants; `slowfast_segment_positions` is that
of SlowFast and Uniformer; `temporal_view_positions` is that of X3D, which reads several clips per video. The last three
reproduce the float rounding of the original code. Each network requires the rule that it was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from ...errors import FrameError, UsageError

_VIEW_INTERVALS = {4: 12, 16: 5}  # strides of X3D-XS and -M, by frames per clip, at 30 frames per second
_VIEW_INTERVAL = 6  # stride of X3D-S, and the default for other counts
_VIEW_RATE = 30


def linspace_positions(length: int, count: int) -> tuple[int, ...]:
    """Return `count` ascending positions spread over a video of `length` frames, with repeats if the video is short.

    They are `min(floor(i * length / (count - 1)), length - 1)` for i = 0 .. count - 1; if `count` is 1, the first
    frame.

    Raises:
        FrameError: the video has no frames.
        UsageError: `count` is less than 1.
    """
    _check_lengths(length, count)
    if count == 1:
        return (0,)
    return tuple(min(i * length // (count - 1), length - 1) for i in range(count))


def tsn_segment_positions(length: int, count: int) -> tuple[int, ...]:
    """Return the 0-based positions of the center frames of `count` equal segments of a video, in ascending order.

    They are `int(tick / 2 + tick * i)` with `tick = length / count`, as in FFN's validation loader, which adds 1
    because it numbers frames from 1. The expression is evaluated in float64 and in the same order as in that loader:
    where the exact value is an integer, the sum may be slightly smaller (position 20, not 21, for the eighth of 10
    frames from a 28-frame video). For a video of `count` frames or fewer, the first frame is repeated `count` times, as
    in the original.

    Raises:
        FrameError: the video has no frames.
        UsageError: `count` is less than 1.
    """
    _check_lengths(length, count)
    if length <= count:
        return (0,) * count
    tick = length / count
    return tuple(int(tick / 2.0 + tick * i) for i in range(count))


def slowfast_segment_positions(length: int, count: int, views: int = 1, view: int = 0) -> tuple[int, ...]:
    """Return the 0-based positions that FFN's SlowFast and Uniformer tests read, with repeats if the video is short.

    With ``segment = (length - 1) / count``, they are ``round(segment * i) + int(segment / (views + 1) * (view + 1))``
    for i = 0 .. count - 1. The expression is evaluated in float64 and rounds half to even; integer arithmetic would
    differ for some videos if `count` is not a power of two (20 frames from an 83-frame video). The original numbers its
    image files from 1, so its frame numbers are higher by one.

    Raises:
        FrameError: the video has no frames.
        UsageError: `count` is less than 1, or `view` is not in 0 .. ``views - 1``.
    """
    _check_lengths(length, count)
    if not 0 <= view < views:
        hint = f"choose a view from 0 to {views - 1}" if views > 0 else "set views to 1 or more"
        raise UsageError(f"there is no view {view}: the number of views is {views}", hint)
    segment = (length - 1) / count
    offset = int(segment / (views + 1) * (view + 1))
    return tuple(round(segment * i) + offset for i in range(count))


def temporal_view_positions(
    length: int, count: int, rate: float, views: int = 10, *, to_end: bool = False
) -> tuple[tuple[int, ...], ...]:
    """Return the positions of each of `views` clips of `count` frames, in temporal order, with repeats at the end.

    A clip spans ``6 * count`` frames at 30 frames per second (``12 * count`` for the 4 frames of X3D-XS, ``5 * count``
    for the 16 of X3D-M), or the same time at any other rate; the clips are spread evenly. As in SlowFast's test loader,
    the last clip ends before the end of the video, by the distance between the starts of two clips, unless ``to_end``
    is true. The positions in a clip are those of ``torch.linspace`` in float32, truncated.

    Args:
        length: number of frames in the video.
        count: number of frames per clip.
        rate: frame rate of the video, in frames per second.
        views: number of clips.
        to_end: whether to spread the clips over the whole video.

    Raises:
        FrameError: the video has no frames.
        UsageError: `count` or `views` is less than 1.
    """
    _check_lengths(length, count)
    _check_lengths(length, views)
    span = max(1.0, _VIEW_INTERVALS.get(count, _VIEW_INTERVAL) * count / _VIEW_RATE * rate)
    surplus, gaps = max(length - span, 0.0), max(1, views - to_end)
    starts = [surplus * view / gaps for view in range(views)]
    return tuple(_truncated_linspace(start, start + span - 1, count, length - 1) for start in starts)


def _truncated_linspace(start: float, stop: float, count: int, last: int) -> tuple[int, ...]:
    """Return ``torch.linspace``, which counts its second half from the end, clamped to 0 .. `last` and truncated."""
    low, high = np.float32(start), np.float32(stop)
    step = (high - low) / np.float32(max(1, count - 1))
    places = np.arange(count, dtype=np.float32)
    values = np.where(places < count // 2, low + step * places, high - step * (count - 1 - places))
    if count == 1:
        values = np.array([low])
    return tuple(np.clip(values, 0, last).astype(np.int64).tolist())


def _check_lengths(length: int, count: int) -> None:
    if count < 1:
        raise UsageError(f"cannot sample {count} frames", "request at least one")
    if length < 1:
        raise FrameError("cannot sample a video that has no frames", "exclude the video")


Sampler = Callable[[int, int, float, int], tuple[tuple[int, ...], ...]]
"""Maps the frames of a video, the frames of a clip, the frame rate and the number of clips to each clip's positions."""


def _one_clip(rule: Callable[[int, int], tuple[int, ...]]) -> Sampler:
    return lambda length, count, _rate, _clips: (rule(length, count),)


# by name in a bundle's manifest
SAMPLERS: Final[Mapping[str, Sampler]] = {
    "linspace": _one_clip(linspace_positions),
    "segment_centres": _one_clip(tsn_segment_positions),
    "rounded_segments": _one_clip(slowfast_segment_positions),
    "temporal_views": temporal_view_positions,
    "temporal_views_to_end": partial(temporal_view_positions, to_end=True),
}
