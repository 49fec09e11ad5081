from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from vbench.bench.datasets.ffmpeg.timing import FrameTimes, PacketTimes, StreamClock

STEP = 3600  # one frame at 25 frames/s
SECOND = 90_000
TRANSPORT = StreamClock(
    time_base=Fraction(1, SECOND),
    format_name="mpegts",
    jumps=True,
    start_us=0,
    stream_start=0,
    rate=Fraction(25),
    delay=0,
)
OTHER = replace(TRANSPORT, format_name="matroska,webm", jumps=False)


def corrected(clock: StreamClock, stamps: list[int | None]) -> list[tuple[int | None, int]]:
    times = PacketTimes(clock)
    answers = []
    for stamp in stamps:
        answers.append(times.correct(stamp, stamp, STEP))
        times.shown(answers[-1][1], STEP)
    return answers


@pytest.mark.parametrize("start", [0, 3600 * SECOND, 11 * SECOND])
def test_a_jump_of_the_clock_is_removed(start: int) -> None:
    stamps = [0, STEP, 2 * STEP, start, start + STEP]
    assert [dts for _, dts in corrected(TRANSPORT, stamps)] == [0, STEP, 2 * STEP, 3 * STEP, 4 * STEP]


def test_a_gap_below_ten_seconds_remains() -> None:
    stamps = [0, STEP, 9 * SECOND]
    assert [dts for _, dts in corrected(TRANSPORT, stamps)] == stamps


def test_a_gap_remains_in_formats_whose_clock_does_not_jump() -> None:
    stamps = [0, STEP, 3600 * SECOND, 0]
    assert corrected(OTHER, stamps) == [(stamp, stamp) for stamp in stamps]


def test_an_absurd_time_is_replaced_by_the_predicted_one() -> None:
    far = 108_001 * SECOND
    assert corrected(OTHER, [0, STEP, far, 3 * STEP]) == [
        (0, 0),
        (STEP, STEP),
        (None, 2 * STEP),
        (3 * STEP, 3 * STEP),
    ]


def test_missing_times_are_predicted_from_the_first() -> None:
    delayed = replace(OTHER, delay=2)
    assert corrected(delayed, [None, None, None]) == [(None, -2 * STEP), (None, -STEP), (None, 0)]


def test_the_start_becomes_zero() -> None:
    assert corrected(replace(OTHER, start_us=2_000_000), [2 * SECOND]) == [(0, 0)]


def test_an_unused_stream_of_a_transport_stream_does_not_count_for_the_start() -> None:
    late = replace(TRANSPORT, start_us=1_000_000, stream_start=3 * SECOND)
    assert corrected(late, [3 * SECOND]) == [(0, 0)]
    assert corrected(replace(late, format_name="matroska,webm", jumps=False), [3 * SECOND]) == [(2 * SECOND,) * 2]


def test_times_before_a_wrapped_start_are_unwrapped() -> None:
    wrap = 1 << 33
    assert corrected(TRANSPORT, [wrap - STEP, 0, STEP]) == [(-STEP, -STEP), (0, 0), (STEP, STEP)]


def test_presentation_times_that_go_backward_lose_to_decoding_times() -> None:
    times = FrameTimes()
    pairs = [(0, 2), (3, 3), (2, 4), (5, 5), (4, 6), (7, None), (None, 8)]
    assert [times.best(pts, dts) for pts, dts in pairs] == [0, 3, 4, 5, 6, 7, 8]


def test_presentation_times_win_if_decoding_times_are_worse() -> None:
    times = FrameTimes()
    assert [times.best(pts, dts) for pts, dts in [(0, 5), (1, 4), (2, 3), (1, 9)]] == [0, 1, 2, 1]
