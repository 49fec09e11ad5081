"""Frames as displayed: the rotation that a file specifies, applied to decoded pixels or as filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame

_TURN_FILTERS: dict[int, tuple[tuple[str, ...], ...]] = {
    0: (),
    1: (("transpose", "cclock"),),
    2: (("hflip",), ("vflip",)),
    3: (("transpose", "clock"),),
}


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the frame as uint8 RGB [H, W, 3], rotated for display as the file specifies.

    The pixels are byte-identical to the output of `ffmpeg -pix_fmt rgb24` for all clips compared.
    """
    # rot90 turns counterclockwise, like `_quarter_turns`
    rotated = np.rot90(frame.to_ndarray(format="rgb24"), k=_quarter_turns(frame))
    return np.ascontiguousarray(rotated, dtype=np.uint8)


def turn_filters(frame: VideoFrame) -> tuple[tuple[str, ...], ...]:
    """Return the FFmpeg filters (name, arguments) that rotate the frame for display, as `to_rgb` does."""
    return _TURN_FILTERS[_quarter_turns(frame)]


def _quarter_turns(frame: VideoFrame) -> int:
    return round(frame.rotation / 90) % 4  # PyAV gives counterclockwise degrees
