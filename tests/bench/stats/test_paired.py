"""Paired statistics of two runs: tests, intervals and verdicts, on synthetic data."""

from __future__ import annotations

import numpy as np
import pytest

from vbench.bench.compare.verdict import Verdict, verdict
from vbench.bench.stats.accuracy import mean_average_precision
from vbench.bench.stats.intervals import Interval
from vbench.bench.stats.mcnemar import mcnemar_p
from vbench.bench.stats.paired_intervals import (
    difference_interval,
    map_difference_interval,
    mean,
    percentile,
    rate,
    ratio_interval,
)


@pytest.mark.parametrize(
    ("only_before", "only_after", "p"),
    [(10, 2, 158 / 4096), (2, 10, 158 / 4096), (0, 0, 1.0), (1, 0, 1.0), (0, 5, 2 / 32), (0, 6, 2 / 64), (7, 7, 1.0)],
)
def test_mcnemar(only_before: int, only_after: int, p: float) -> None:
    assert mcnemar_p(only_before, only_after) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_large_counts() -> None:
    """Reference: the normal approximation with continuity correction, z = 1499 / 1000.75, gives 0.13417."""
    assert mcnemar_p(500_000, 501_500) == pytest.approx(0.13417, abs=1e-4)
    assert 0 < mcnemar_p(100, 1000) < 1e-170
    assert mcnemar_p(0, 100_000) == 0


def test_difference_intervals_cover_at_their_level() -> None:
    random = np.random.default_rng(5)
    held = paired = 0
    for _ in range(400):
        hard = random.normal(0, 10, 100)
        before, after = hard + random.exponential(1, 100), hard + random.exponential(1, 100) + 0.3
        low, high = difference_interval(before, after)
        held += low <= 0.3 <= high
        paired += high - low < 1
    assert 0.93 <= held / 400 <= 0.97
    assert paired == 400, "what is in both runs must cancel out: unpaired, it is 5.5 wide"


@pytest.mark.slow
def test_ratio_intervals_cover_at_their_level() -> None:
    random = np.random.default_rng(7)
    held = 0
    for _ in range(500):
        hard = random.lognormal(2, 0.3, 200)
        before, after = (hard * factor * random.lognormal(0, 0.05, 200) for factor in (1, 1.1))
        low, high = ratio_interval(before, after)
        held += low <= 1.1 <= high
    assert 0.93 <= held / 500 <= 0.97


def test_the_interval_of_a_ratio_is_of_its_statistic() -> None:
    before = np.concatenate([np.full(80, 10.0), np.full(20, 50.0)]) + np.linspace(0, 1, 100)
    after = np.where(before > 40, 2 * before, before)
    assert ratio_interval(before, after, percentile(50)) == (1, 1)
    assert ratio_interval(before, after, percentile(90)) == pytest.approx((2, 2))
    low, high = ratio_interval(before, after, mean)
    assert 1.3 < low < after.mean() / before.mean() < high < 1.8
    assert ratio_interval(before, after, rate) == pytest.approx((1 / high, 1 / low), rel=1e-3)


def test_intervals_are_repeatable_and_seeded() -> None:
    before, after = np.random.default_rng(0).random((2, 50))
    assert difference_interval(before, after) == difference_interval(before, after)
    assert difference_interval(before, after) != difference_interval(before, after, seed=1)
    with pytest.raises(ValueError, match="must have the same shape"):
        difference_interval(before, after[1:])


def test_intervals_of_more_values_than_one_chunk_holds() -> None:
    before = np.random.default_rng(0).random(30_000)
    low, high = difference_interval(before, before + np.random.default_rng(1).normal(0.1, 1, 30_000))
    assert high - low == pytest.approx(2 * 1.96 / 30_000**0.5, rel=0.15)


def test_map_intervals_are_of_resampled_videos() -> None:
    """Reference: copy the drawn videos and evaluate the metric on them."""
    random = np.random.default_rng(3)
    labels = random.random((40, 6)) < 0.2
    labels[:, 4] = False
    before, after = np.round(random.random((2, 40, 6)), 1)  # rounded to create ties
    drawing, differences = np.random.default_rng(11), []
    for _ in range(1000):
        drawn = np.sort(drawing.integers(0, 40, 40))
        one, other = (mean_average_precision(scores[drawn], labels[drawn]) for scores in (before, after))
        differences.append(other - one)
    wanted = np.nanpercentile(differences, (2.5, 97.5))
    assert map_difference_interval(before, after, labels, seed=11) == pytest.approx(tuple(wanted), abs=1e-12)
    assert map_difference_interval(before, before, labels) == (0, 0)


@pytest.mark.parametrize(
    ("low", "high", "more_is_better", "videos", "p", "wanted"),
    [
        (0, 0, True, 1, None, "SAME"),
        (-0.5, 0.5, True, 100, None, "SAME"),
        (0.1, 0.4, True, 100, None, "SAME"),
        (-0.51, 0.5, True, 100, None, "UNDECIDED"),
        (0.1, 0.6, True, 100, None, "BETTER"),
        (0.1, 0.6, False, 100, None, "WORSE"),
        (-0.6, -0.1, True, 100, None, "WORSE"),
        (-0.6, -0.1, False, 100, None, "BETTER"),
        (-0.6, 0, False, 100, None, "UNDECIDED"),
        (-9, -8, False, 5, None, "UNDECIDED"),
        (-9, -8, False, 6, None, "BETTER"),
        (-0.9, -0.1, True, 100, 0.0625, "UNDECIDED"),
        (-0.9, -0.1, True, 100, 0.04, "WORSE"),
    ],
)
def test_verdicts(low: float, high: float, more_is_better: bool, videos: int, p: float | None, wanted: Verdict) -> None:
    assert verdict(Interval(low, high), 0.5, more_is_better, videos, p) == wanted
