from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vbench.bench.stats.accuracy import mean_average_precision
from vbench.bench.stats.intervals import (
    Interval,
    bootstrap_interval,
    map_interval,
    proportion_intervals,
    resampled_maps,
)
from vbench.bench.sweep.pareto import pareto_front

Floats = NDArray[np.float64]


def binomial(videos: int, share: float) -> Floats:
    """Return the probability of every count 0..videos."""
    logs = [
        math.lgamma(videos + 1)
        - math.lgamma(k + 1)
        - math.lgamma(videos - k + 1)
        + k * math.log(share)
        + (videos - k) * math.log(1 - share)
        for k in range(videos + 1)
    ]
    return np.exp(logs)


def coverage(videos: int, share: float) -> float:
    ends = proportion_intervals(np.arange(videos + 1), videos)
    return float(binomial(videos, share)[(ends[:, 0] <= share) & (share <= ends[:, 1])].sum())


@pytest.mark.parametrize("videos", [100, 400, 2000])
@pytest.mark.parametrize("share", [0.5, 0.75, 0.9, 0.97])
def test_proportion_intervals_cover_at_their_level(videos: int, share: float) -> None:
    assert 0.93 <= coverage(videos, share) <= 0.97


@pytest.mark.parametrize("videos", [100, 400, 2000])
def test_proportion_intervals_cover_on_average_up_to_one(videos: int) -> None:
    assert 0.945 <= np.mean([coverage(videos, share) for share in np.linspace(0.9, 0.99, 37)]) <= 0.96


def test_proportion_intervals_cover_in_a_simulation() -> None:
    drawn = np.random.default_rng(0).binomial(400, 0.9, size=5000)
    ends = proportion_intervals(drawn, 400)
    assert 0.93 <= np.mean((ends[:, 0] <= 0.9) & (ends[:, 1] >= 0.9)) <= 0.97


def test_proportion_intervals_contain_the_proportion_and_mirror() -> None:
    correct = np.arange(10_001)
    ends = proportion_intervals(correct, 10_000)
    assert ends.shape == (10_001, 2)
    assert np.all((ends[:, 0] <= correct / 10_000) & (correct / 10_000 <= ends[:, 1]))
    assert ends.min() == 0
    assert ends.max() == 1
    np.testing.assert_allclose(ends, 1 - ends[::-1, ::-1], atol=1e-12)
    assert np.all(np.diff(ends, axis=1) > 0)


def test_proportion_interval_by_hand() -> None:
    # Newcombe (1998), table 1: 81 of 263, Wilson's score method.
    np.testing.assert_allclose(proportion_intervals(np.array([81]), 263), [[0.2553, 0.3662]], atol=5e-5)
    assert np.isnan(proportion_intervals(np.array([0]), 0)).all()


def test_proportion_intervals_refuse_impossible_counts() -> None:
    with pytest.raises(ValueError, match=r"0\.\.4"):
        proportion_intervals(np.array([5]), 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "mean"), [(np.random.Generator.standard_exponential, 1.0), (np.random.Generator.random, 0.5)]
)
def test_mean_intervals_cover_at_their_level(draw: Callable[[np.random.Generator, int], Floats], mean: float) -> None:
    rng = np.random.default_rng(7)
    found = [bootstrap_interval(draw(rng, 200), resamples=500, seed=i) for i in range(1500)]
    assert 0.93 <= np.mean([low <= mean <= high for low, high in found]) <= 0.97


def test_mean_interval_of_rare_values_stays_among_them() -> None:
    frames = np.full(200, 10.0)
    frames[0] = 1
    low, high = bootstrap_interval(frames)
    assert 9.5 < low < frames.mean() < high <= 10


def test_mean_interval_depends_on_its_seed_and_shifts_with_its_values() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    first = bootstrap_interval(values, seed=3)
    assert first == bootstrap_interval(values, seed=3)
    assert first != bootstrap_interval(values, seed=4)
    np.testing.assert_allclose(np.array(bootstrap_interval(values + 5, seed=3)), np.array(first) + 5)
    wide = bootstrap_interval(values, seed=3, level=0.99)
    assert wide.low < first.low < first.high < wide.high


def test_mean_interval_without_anything_to_resample() -> None:
    assert bootstrap_interval(np.full(5, 0.1)) == Interval(0.1, 0.1)
    assert np.isnan(bootstrap_interval(np.zeros(0))).all()
    assert np.isnan(bootstrap_interval(np.array([1.0, np.nan]))).all()


def detections(rng: np.random.Generator, videos: int, classes: int) -> tuple[Floats, NDArray[np.bool_]]:
    labels = rng.random((videos, classes)) < 1.5 / classes
    return rng.normal(size=labels.shape) + 3 * labels, labels


def test_resampled_maps_equal_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    scores, labels = detections(rng, 60, 30)
    scores = scores.round(1)  # many ties
    scores[:4, 3] = np.nan
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=40).T
    weights[:, 0] = 0
    weights[:3, 0] = [40, 0, 20]
    expected = [mean_average_precision(scores.repeat(row, axis=0), labels.repeat(row, axis=0)) for row in weights.T]
    np.testing.assert_allclose(resampled_maps(scores, labels, weights.astype(np.uint8)), expected, atol=1e-9)


@pytest.mark.slow
def test_map_interval_covers() -> None:
    rng = np.random.default_rng(1)
    truth = mean_average_precision(*detections(rng, 100_000, 10))
    found = [map_interval(*detections(rng, 300, 10), resamples=200, seed=i) for i in range(300)]
    assert 0.90 <= np.mean([low <= truth <= high for low, high in found]) <= 0.98  # 300 draws: +- 0.025


def test_map_interval_contains_the_estimate_in_bounded_memory() -> None:
    scores, labels = detections(np.random.default_rng(2), 4000, 20)
    tracemalloc.start()
    low, high = map_interval(scores, labels, resamples=1200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert low < mean_average_precision(scores, labels) < high
    assert peak < 500e6
    assert map_interval(scores, labels, resamples=50) == map_interval(scores, labels, resamples=50)


def test_map_interval_without_a_positive_is_nan() -> None:
    assert np.isnan(map_interval(np.zeros((4, 2)), np.zeros((4, 2)))).all()
    assert np.isnan(map_interval(np.zeros((0, 2)), np.zeros((0, 2)))).all()
    with pytest.raises(ValueError, match="same"):
        map_interval(np.zeros((4, 2)), np.zeros((2, 4)))


def beaten(cost: list[float], accuracy: list[float], i: int) -> bool:
    others = [j for j in range(len(cost)) if cost[j] <= cost[i] and accuracy[j] >= accuracy[i]]
    better = [j for j in others if cost[j] < cost[i] or accuracy[j] > accuracy[i]]
    return bool(better) or any(j < i for j in others)


coordinates = st.sampled_from([-math.inf, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan])


@settings(max_examples=300)
@given(st.lists(st.tuples(coordinates, coordinates), max_size=8))
def test_pareto_front_matches_brute_force(points: list[tuple[float, float]]) -> None:
    cost, accuracy = [x for x, _ in points], [y for _, y in points]
    missing = [math.isnan(x) or math.isnan(y) for x, y in points]
    expected = [not missing[i] and not beaten(cost, accuracy, i) for i in range(len(points))]
    assert pareto_front(np.array(cost), np.array(accuracy)).tolist() == expected


def test_pareto_front_needs_pairs() -> None:
    with pytest.raises(ValueError, match="same"):
        pareto_front(np.zeros(3), np.zeros(4))
