"""Frame sampling rules: the positions of the frames that a network reads.

`linspace_positions` is the rule of FrameExit's published reader: `linspace(0, L, count)` with the end point included,
clipped to the last frame, then truncated. It is written in integers, so that float rounding cannot shift a position.
`tsn_segment_positions` is the rule of TSM, TEA and their frame-flexible variants; `slowfast_segment_positions` is that
of SlowFast and Uniformer. Both reproduce the float rounding of the original code. Each network requires the rule that
it was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ...errors import FrameError, UsageError


def linspace_positions(length: int, count: int) -> tuple[int, ...]:
    """Positions of `count` frames spread over a video of `length` frames, ascending, with repeats if it is short.

    `min(floor(i * length / (count - 1)), length - 1)` for i = 0 .. count - 1; a single frame is the first one.

    Raises:
        FrameError: the video has no frame.
        UsageError: fewer than one frame was asked for.
    """
    _require(length, count)
    if count == 1:
        return (0,)
    return tuple(min(i * length // (count - 1), length - 1) for i in range(count))


def tsn_segment_positions(length: int, count: int) -> tuple[int, ...]:
    """Positions, from 0, of the middle frames of `count` equal segments of a video of `length` frames, ascending.

    The `int(tick / 2 + tick * i)`, `tick = length / count`, of FFN's validation loader, which counts frames from 1 and
    adds that. It is evaluated in float64 and in this order as there: where the exact value is an integer, the sum may
    fall just short of it (position 20 and not 21 for the eighth of 10 frames of 28). A video of `count` frames or fewer
    gives its first frame `count` times, as in the original.

    Raises:
        FrameError: the video has no frame.
        UsageError: fewer than one frame was asked for.
    """
    _require(length, count)
    if length <= count:
        return (0,) * count
    tick = length / count
    return tuple(int(tick / 2.0 + tick * i) for i in range(count))


def slowfast_segment_positions(length: int, count: int, views: int = 1, view: int = 0) -> tuple[int, ...]:
    """Positions, from 0, of `count` frames as FFN's SlowFast and Uniformer test looks at them, with repeats if short.

    It computes in doubles and rounds halves to the even number, which whole numbers would not repeat for some videos at
    counts that are no power of two (20 frames of 83). With ``segment = (length - 1) / count``, for i = 0 .. count - 1:
    ``round(segment * i) + int(segment / (views + 1) * (view + 1))``. The original's file names are numbered from 1, its
    frame numbers one higher.

    Raises:
        FrameError: the video has no frame.
        UsageError: fewer than one frame was asked for, or a view that is not among ``views``.
    """
    _require(length, count)
    if not 0 <= view < views:
        raise UsageError(f"no view {view} among {views}", f"give 0 to {views - 1}" if views > 0 else "give views >= 1")
    segment = (length - 1) / count
    offset = int(segment / (views + 1) * (view + 1))
    return tuple(round(segment * i) + offset for i in range(count))


def _require(length: int, count: int) -> None:
    if count < 1:
        raise UsageError(f"cannot sample {count} frames", "ask for at least one")
    if length < 1:
        raise FrameError("cannot sample a video of no frames", "leave the video out")


# by the name that a bundle's manifest has for it
SAMPLERS: Final[Mapping[str, Callable[[int, int], tuple[int, ...]]]] = {
    "segment_centres": tsn_segment_positions,
    "rounded_segments": slowfast_segment_positions,
}
