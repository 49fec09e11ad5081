from __future__ import annotations

import math

import numpy as np
import pytest

from vbench.bench.benchmark.harness import enough
from vbench.bench.stats.ratios import RatioInterval, ratio_interval, t_quantile


def test_the_ratio_is_the_geometric_mean_of_the_pairs() -> None:
    found = ratio_interval([2.0, 8.0, 4.0], [1.0, 1.0, 1.0])
    assert found.ratio == pytest.approx(4.0)
    assert found.low < 4 < found.high
    assert found.pairs == 3


def test_the_interval_of_the_inverse_ratio_is_inverse() -> None:
    above, below = [2.0, 2.5, 3.1], [1.0, 1.1, 0.9]
    one, other = ratio_interval(above, below), ratio_interval(below, above)
    assert (1 / other.high, 1 / other.low) == pytest.approx((one.low, one.high))


def test_noise_that_both_members_of_a_pair_share_cancels() -> None:
    load = [1.0, 3.0, 0.7, 2.2]
    found = ratio_interval([2 * value for value in load], load)
    assert found == pytest.approx(RatioInterval(2.0, 2.0, 2.0, 4))


@pytest.mark.parametrize(("count", "expected"), [(0, math.inf), (1, math.inf)])
def test_too_few_pairs_have_an_unbounded_interval(count: int, expected: float) -> None:
    found = ratio_interval([2.0] * count, [1.0] * count)
    assert found.half_width == expected
    assert found.pairs == count


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_values_that_are_not_positive_are_rejected(wrong: float) -> None:
    with pytest.raises(ValueError, match="> 0"):
        ratio_interval([1.0, wrong], [1.0, 1.0])


def test_pairs_of_different_lengths_are_rejected() -> None:
    with pytest.raises(ValueError, match="paired"):
        ratio_interval([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (4, 2.776), (30, 2.042), (40, 2.021), (120, 1.980)])
def test_quantiles_of_student_agree_with_tables(freedom: int, expected: float) -> None:
    assert t_quantile(freedom) == pytest.approx(expected, abs=2e-3)


def test_dividing_by_a_constant_keeps_the_relative_width() -> None:
    found = RatioInterval(4.0, 3.0, 5.0, 5)
    assert found.divided_by(2.0) == RatioInterval(2.0, 1.5, 2.5, 5)
    assert found.divided_by(2.0).half_width == pytest.approx(found.half_width)


@pytest.mark.parametrize("noise", ["normal", "heavy tails"])
@pytest.mark.parametrize("pairs", [5, 15])
def test_the_interval_covers_the_true_ratio(noise: str, pairs: int) -> None:
    rng = np.random.default_rng(7)
    covered = sum(_covers(rng, noise, pairs) for _ in range(2000)) / 2000
    assert 0.93 <= covered <= 0.985


def test_coverage_survives_the_rule_that_ends_repetitions() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(2000):
        sigma = float(rng.uniform(0.01, 0.06))
        base, other = (list(level * np.exp(rng.normal(0, sigma, 15))) for level in (3.0, 1.0))
        repetitions = 5
        while not enough(repetitions, 5, ratio_interval(base[:repetitions], other[:repetitions]).half_width):
            repetitions += 1
        found = ratio_interval(base[:repetitions], other[:repetitions])
        covered += found.low <= 3.0 <= found.high
    assert covered / 2000 >= 0.92


def _covers(rng: np.random.Generator, noise: str, pairs: int) -> bool:
    """Return whether one simulated benchmark's interval contains the true ratio, 3; both share the machine's load."""
    load = np.exp(rng.normal(0, 0.3, pairs))
    spread = rng.normal(0, 0.05, (2, pairs)) if noise == "normal" else 0.03 * rng.standard_t(3, (2, pairs))
    own = np.exp(spread)
    found = ratio_interval(list(3.0 * load * own[0]), list(load * own[1]))
    return found.low <= 3.0 <= found.high
