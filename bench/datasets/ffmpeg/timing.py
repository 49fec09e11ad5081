"""Timestamps as the ffmpeg program (5.1) corrects them, before and after decoding.

The program does not use the times of a file as they are: it shifts them to start at 0, removes jumps in formats whose
clock may jump (transport and program streams), ignores absurd times in other formats, fills in missing ones, and
prefers decoding times where presentation times go backward. The frames that it selects at a constant rate depend on all
of these rules (`process_input`, `process_input_packet` and `decode_video` of ffmpeg.c, `guess_correct_pts` of
libavcodec), so they are reproduced here for the packets and frames of one stream.

Times are integers in the stream's time base; those named `_us` are in microseconds, the unit of ffmpeg's comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_SECOND_US = 1_000_000
_JUMP_US = 10 * _SECOND_US  # -dts_delta_threshold
_ABSURD_US = 108_000 * _SECOND_US  # -dts_error_threshold
_BACKWARD_US = _SECOND_US // 10
_WRAP_BITS = {"mpegts": 33, "mpeg": 33, "flv": 32, "asf": 32}  # the times of other formats do not wrap


@dataclass(frozen=True)
class StreamClock:
    """Properties of a stream that determine its times.

    `jumps` states whether times in this format may jump. `start_us` is the start time of the file and `stream_start`
    that of the stream, None if unknown. `rate` is the average rate in frames per second, 0 if unknown. `delay` is the
    number of frames that the decoder holds back for reordering.
    """

    time_base: Fraction
    format_name: str
    jumps: bool
    start_us: int | None
    stream_start: int | None
    rate: Fraction
    delay: int

    def to_us(self, stamp: int) -> int:
        """Convert a time from the stream's time base to microseconds."""
        return _rescale(stamp, self.time_base.numerator * _SECOND_US, self.time_base.denominator)

    def from_us(self, time_us: int) -> int:
        """Convert a time from microseconds to the stream's time base."""
        return _rescale(time_us, self.time_base.denominator, self.time_base.numerator * _SECOND_US)


class PacketTimes:
    """Corrects the times of packets, in file order.

    Call `correct` for every packet, `shown` for every frame that is decoded from it, and `drained` for every frame that
    the decoder returns after the last packet.
    """

    def __init__(self, clock: StreamClock) -> None:
        self._clock = clock
        self._offset_us = -(clock.start_us or 0)
        self._wrap_bits = 0 if clock.start_us is None else _WRAP_BITS.get(clock.format_name, 0)
        if self._wrap_bits and clock.jumps and clock.stream_start is not None:
            # an unused stream, such as audio, may start earlier
            self._offset_us = min(self._offset_us, -clock.to_us(clock.stream_start))
        self._dts_us = int(-clock.delay * _SECOND_US / clock.rate) if clock.rate else 0
        self._next_dts_us: int | None = None
        self._next_pts_us = 0

    def correct(self, pts: int | None, dts: int | None, duration: int) -> tuple[int | None, int]:
        """Return the pts and dts with which ffmpeg decodes a packet; ffmpeg predicts a missing dts."""
        clock = self._clock
        pts, dts = self._unwrap(pts, dts)
        pts, dts = _shift(pts, dts, clock.from_us(self._offset_us))
        if self._next_dts_us is not None:
            correct = self._without_jump if clock.jumps else self._without_absurd_times
            pts, dts = correct(pts, dts, self._next_dts_us)
        if dts is not None:
            self._next_dts_us = clock.to_us(dts)
        return pts, self._advance(duration)

    def shown(self, time: int, duration: int) -> None:
        """Record a frame that the decoder returned, to be shown at `time`."""
        self._next_pts_us = self._clock.to_us(time) + self._clock.to_us(duration)

    def drained(self) -> int:
        """Return the dts that ffmpeg predicts for the next frame after the last packet."""
        return self._advance(0)

    def _advance(self, duration: int) -> int:
        if self._next_dts_us is not None:
            self._dts_us = self._next_dts_us
        step = self._clock.to_us(duration)
        if not step and self._clock.rate:
            step = int(_SECOND_US / self._clock.rate)
        self._next_dts_us = self._dts_us + step if step else None
        return self._clock.from_us(self._dts_us)

    def _unwrap(self, pts: int | None, dts: int | None) -> tuple[int | None, int | None]:
        if not self._wrap_bits:
            return pts, dts
        limit = self._clock.from_us(self._clock.start_us or 0) + (1 << (self._wrap_bits - 1))
        wrap = 1 << self._wrap_bits
        unwrapped = tuple(stamp - wrap if stamp is not None and stamp > limit else stamp for stamp in (pts, dts))
        if unwrapped == (pts, dts):
            self._wrap_bits = 0  # ffmpeg stops at the first packet that needs no correction
        return unwrapped[0], unwrapped[1]

    def _without_jump(self, pts: int | None, dts: int | None, next_us: int) -> tuple[int | None, int | None]:
        """Return the times with any clock jump removed, and apply the same correction to later packets."""
        if dts is None:
            return pts, dts
        now_us = self._clock.to_us(dts)
        backward = now_us + _BACKWARD_US < max(self._next_pts_us, next_us)
        if abs(now_us - next_us) <= _JUMP_US and not backward:
            return pts, dts
        self._offset_us -= now_us - next_us
        return _shift(pts, dts, -self._clock.from_us(now_us - next_us))

    def _without_absurd_times(self, pts: int | None, dts: int | None, next_us: int) -> tuple[int | None, int | None]:
        def sane(stamp: int | None) -> int | None:
            absurd = stamp is not None and abs(self._clock.to_us(stamp) - next_us) > _ABSURD_US
            return None if absurd else stamp

        return sane(pts), sane(dts)


class FrameTimes:
    """Chooses the frames' presentation or decode timestamps, whichever have gone backward less often."""

    def __init__(self) -> None:
        self._faulty_pts = self._faulty_dts = 0
        self._last_pts: int | None = None
        self._last_dts: int | None = None

    def best(self, pts: int | None, dts: int | None) -> int | None:
        """Return the time of a frame with the given `pts`, completed by the packet with the given `dts`."""
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
        self._last_dts = pts if dts is None else dts
        self._last_pts = dts if pts is None else pts
        return pts if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts) else dts


def _shift(pts: int | None, dts: int | None, offset: int) -> tuple[int | None, int | None]:
    return (None if pts is None else pts + offset), (None if dts is None else dts + offset)


def _rescale(value: int, numerator: int, denominator: int) -> int:
    """Return the product rounded to the nearest integer, halves away from zero, as `av_rescale` does."""
    rounded = (2 * abs(value) * numerator + denominator) // (2 * denominator)
    return rounded if value >= 0 else -rounded
