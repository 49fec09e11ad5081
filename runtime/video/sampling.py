"""Frame sampling rules: the positions of the frames that a network reads.

`linspace_positions` is the rule of FrameExit's published reader: `linspace(0, L, count)` with the end point included,
clipped to the last frame, then truncated. It uses integer arithmetic, so that float rounding cannot shift a position.
`tsn_segment_positions` is the rule of TSM, TEA and their frame-flexible variants; `slowfast_segment_positions` is that
of SlowFast and Uniformer. Both reproduce the float rounding of the original code. Each network requires the rule that
it was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ...errors import FrameError, UsageError


def linspace_positions(length: int, count: int) -> tuple[int, ...]:
    """Return `count` positions spread over a video of `length` frames, ascending, with repeats if the video is short.

    They are `min(floor(i * length / (count - 1)), length - 1)` for i = 0 .. count - 1; a single frame is the first one.

    Raises:
        FrameError: the video has no frames.
        UsageError: `count` is less than 1.
    """
    _check_lengths(length, count)
    if count == 1:
        return (0,)
    return tuple(min(i * length // (count - 1), length - 1) for i in range(count))


def tsn_segment_positions(length: int, count: int) -> tuple[int, ...]:
    """Return the positions (from 0) of the center frames of `count` equal segments of a video, ascending.

    They are `int(tick / 2 + tick * i)` with `tick = length / count`, as in FFN's validation loader, which adds 1
    because it numbers frames from 1. The expression is evaluated in float64 in the same order as there: where the exact
    value is an integer, the sum may be slightly smaller (position 20, not 21, for the eighth of 10 frames of a
    28-frame video). For a video of `count` frames or fewer, the first frame is repeated `count` times, as in the
    original.

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
    """Return the positions (from 0) that FFN's SlowFast and Uniformer tests read, with repeats if the video is short.

    With ``segment = (length - 1) / count``, they are ``round(segment * i) + int(segment / (views + 1) * (view + 1))``
    for i = 0 .. count - 1. The expression is evaluated in float64 and rounds half to even; integer arithmetic would
    differ for some videos if `count` is not a power of two (20 frames of an 83-frame video). The original numbers
    its image files from 1, so its frame numbers are higher by one.

    Raises:
        FrameError: the video has no frames.
        UsageError: `count` is less than 1, or `view` is not in 0 .. ``views - 1``.
    """
    _check_lengths(length, count)
    if not 0 <= view < views:
        hint = f"choose 0 to {views - 1}" if views > 0 else "set views to 1 or more"
        raise UsageError(f"there is no view {view}: the number of views is {views}", hint)
    segment = (length - 1) / count
    offset = int(segment / (views + 1) * (view + 1))
    return tuple(round(segment * i) + offset for i in range(count))


def _check_lengths(length: int, count: int) -> None:
    if count < 1:
        raise UsageError(f"cannot sample {count} frames", "request at least one")
    if length < 1:
        raise FrameError("cannot sample a video that has no frames", "exclude the video")


# by their names in a bundle's manifest
SAMPLERS: Final[Mapping[str, Callable[[int, int], tuple[int, ...]]]] = {
    "segment_centres": tsn_segment_positions,
    "rounded_segments": slowfast_segment_positions,
}
