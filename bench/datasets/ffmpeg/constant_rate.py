"""Select frames at a constant rate as the ffmpeg program (5.1) does with `-r RATE` (`do_video_out` in ffmpeg.c)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction

from ....errors import FrameError

MAX_COPIES = 100_000
"""Maximum number of images beyond the number of frames. For one wrong time, ffmpeg writes up to 3,240,000 copies."""


def constant_rate(
    times: Iterable[Fraction | None], rate: int, duration_s: Fraction, only_stream: bool
) -> Iterator[int]:
    """Yield the position of the frame behind each image that ffmpeg writes at `rate` per second, in ascending order.

    Args:
        times: presentation times in seconds, in the decoder's order; frames without a timestamp are dropped.
        rate: images per second.
        duration_s: the nominal duration of a frame, 0 if unknown.
        only_stream: whether the file has only one stream; if so, no image precedes the first frame.

    Times are in image periods; `drift` is the offset of a frame before (-) or after (+) the next image due:

    - a frame that has begun but not ended when the image is due counts as on time (drift 0);
    - a frame that ends more than 1.1 periods early is dropped;
    - a frame that ends more than 1.1 periods late is repeated as often as needed to catch up; if it also begins that
      late, the previous frame fills the gap first;
    - any other frame is written once, so the first two images are adjacent: the second frame is never 1.1 periods
      early;
    - the last frame is repeated; the number of repeats is the median of the last three gap-filling counts.

    Lazy: an image is yielded as soon as its frame is known, and lags the last frame read by at most one frame.

    Raises:
        FrameError: gaps in the timestamps require more than `MAX_COPIES` copies.
    """
    due, position, surplus, fillings = 0, -1, 0, [0, 0, 0]
    length = min(float(duration_s * rate), 1.0)
    for position, time in enumerate(times):
        drift = _image_time(time, rate) - due if time is not None else -2.0 - length
        end = drift + length
        if drift < 0 < end:
            drift = 0.0
        if only_stream and not due and drift >= 0.5:
            due, drift, end = round(drift), 0.0, length
        copies = 0 if end < -1.1 else _round(end) if end > 1.1 else 1
        surplus += copies - 1
        if surplus > MAX_COPIES:
            raise _gap_error(position, copies, rate)
        filling = min(_round(drift - 0.6), copies) if end > 1.1 and drift > 1.1 else 0
        fillings = [filling, *fillings[:2]]
        due += copies
        for copy in range(copies):
            yield max(position - 1, 0) if copy < filling else position
    for _ in range(sorted(fillings)[1]):
        yield position


def _image_time(time_s: Fraction, rate: int) -> float:
    """Return the time in image periods with ffmpeg's tie-breaking: rounded to 2**-16, plus 2**-17 unless whole."""
    rounded = round(time_s * rate * 65536) / 65536
    if rounded == round(rounded):
        return rounded
    return rounded + (1 if rounded > 0 else -1) / 131072


def _round(value: float) -> int:
    """Round in single precision, as ffmpeg's `llrintf` does."""
    single: float
    (single,) = struct.unpack("f", struct.pack("f", value))
    return round(single)


def _gap_error(position: int, copies: int, rate: int) -> FrameError:
    return FrameError(
        f"frame {position} comes after a gap of {copies // rate} s in the timestamps, "
        f"and filling the video's gaps would take more than {MAX_COPIES} copies",
        "repair the timestamps or exclude the video",
    )
