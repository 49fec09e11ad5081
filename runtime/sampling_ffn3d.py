"""Which frames of a video FFN's SlowFast and Uniformer look at in their test.

The original computes in doubles and rounds halves to the even number. So does this, step by step: Python's floats are
the same doubles on every machine. In whole numbers the result would be another one for some videos at frame counts
that are no power of two (20 frames of a video of 83), where the double of a tie lies beside it.
"""

from __future__ import annotations

from ..errors import FrameError, UsageError


def centred_positions(length: int, count: int, views: int = 1, view: int = 0) -> tuple[int, ...]:
    """Positions of ``count`` frames of a video of ``length`` frames, ascending from 0, with repeats if it is short.

    With ``segment = (length - 1) / count``: ``round(segment * i) + int(segment / (views + 1) * (view + 1))`` for
    i = 0 .. count - 1. The original's file names are numbered from 1, its frame numbers one higher.

    Raises:
        FrameError: the video has no frame.
        UsageError: fewer than one frame was asked for, or a view that is not among ``views``.
    """
    if count < 1:
        raise UsageError(f"cannot sample {count} frames", "ask for at least one")
    if not 0 <= view < views:
        raise UsageError(f"no view {view} among {views}", f"give 0 to {views - 1}" if views > 0 else "give views >= 1")
    if length < 1:
        raise FrameError("cannot sample a video of no frames", "leave the video out")
    segment = (length - 1) / count
    offset = int(segment / (views + 1) * (view + 1))
    return tuple(round(segment * i) + offset for i in range(count))
