"""Which frames of a video a network looks at.

The rule is that of FrameExit's published reader (`linspace(0, L, count)` with the end point included, clipped to the
last frame, then truncated), written in integers so that no rounding of floats can move a position. The same rule serves
every network here, so that a change of rule never hides in a change of network.
"""

from __future__ import annotations

from ..errors import FrameError, UsageError


def sample_positions(length: int, count: int) -> tuple[int, ...]:
    """Positions of `count` frames spread over a video of `length` frames, ascending, with repeats if it is short.

    `min(floor(i * length / (count - 1)), length - 1)` for i = 0 .. count - 1; a single frame is the first one.

    Raises:
        FrameError: the video has no frame.
        UsageError: fewer than one frame was asked for.
    """
    if count < 1:
        raise UsageError(f"cannot sample {count} frames", "ask for at least one")
    if length < 1:
        raise FrameError("cannot sample a video of no frames", "leave the video out")
    if count == 1:
        return (0,)
    return tuple(min(i * length // (count - 1), length - 1) for i in range(count))
