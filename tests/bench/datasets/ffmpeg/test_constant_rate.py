from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.bench.datasets.ffmpeg.constant_rate import MAX_COPIES, constant_rate
from vbench.errors import FrameError


def evenly(count: int, rate: int, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + Fraction(index, rate) for index in range(count)]


def test_the_first_two_images_are_adjacent() -> None:
    picked = list(constant_rate(evenly(60, 30), 5, Fraction(1, 30), True))
    assert picked == [0, 1, 5, 11, 17, 23, 29, 35, 41, 47, 53, 59]
    assert list(constant_rate(evenly(100, 30), 1, Fraction(1, 30), True)) == [0, 1, 26, 56, 86]


def test_a_gap_is_filled() -> None:
    assert list(constant_rate([Fraction(0), Fraction(1)], 5, Fraction(1, 5), True)) == [0, 0, 0, 0, 1, 1]


def test_slow_video_repeats_frames() -> None:
    assert list(constant_rate(evenly(3, 1), 5, Fraction(1), True))[:6] == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(("only_stream", "copies"), [(True, 1), (False, 5)])
def test_a_late_first_frame_is_repeated_if_there_is_sound(only_stream: bool, copies: int) -> None:
    picked = list(constant_rate(evenly(30, 25, Fraction(1)), 5, Fraction(1, 25), only_stream))
    assert picked.count(0) == copies


def test_frames_without_a_time_or_before_the_start_are_dropped() -> None:
    times = [None, Fraction(-2), *evenly(3, 5)]
    assert list(constant_rate(times, 5, Fraction(1, 5), True)) == [2, 3, 4]


@pytest.mark.parametrize("times", [[0, 10**5], [2 * 10**4 * index for index in range(20)]])
def test_absurd_gaps_are_an_error(times: list[int]) -> None:
    images = constant_rate(map(Fraction, times), 5, Fraction(1, 5), True)
    written: list[int] = []
    with pytest.raises(FrameError, match=r"after a gap of \d+ s in the timestamps"):
        written.extend(islice(images, MAX_COPIES + len(times) + 1))
    assert len(written) <= MAX_COPIES + len(times)


@given(steps=st.lists(st.floats(0.001, 3.0), min_size=1, max_size=60), rate=st.sampled_from([1, 5]))
def test_pictures_follow_the_frames(steps: list[float], rate: int) -> None:
    times = np.cumsum([0.0, *steps[:-1]]).tolist()
    picked = list(constant_rate(map(Fraction, times), rate, Fraction(1, 25), True))
    assert picked == sorted(picked)
    assert set(picked) <= set(range(len(times)))
    # the last frame may be repeated as often as gaps were filled before (3 s at most here)
    assert -2 <= len(picked) - times[-1] * rate <= 2 + 3 * rate
