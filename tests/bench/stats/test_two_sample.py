"""Two-sample tests: known values, exactness on simulated samples, and coverage of the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.drifting_runs import sample
from vbench.bench.stats.proportions import fisher_p, proportion_difference
from vbench.bench.stats.two_sample import MAX_PERMUTATIONS, Sample, holm, ks_test, mean_difference


def test_distance() -> None:
    found = ks_test(sample([1, 2, 2, 3]), sample([2, 3, 3, 3, 4]))
    assert (found.distance, found.at, found.below) == (pytest.approx(0.55), 2, (0.75, pytest.approx(0.2)))
    assert found.distance < found.at_most <= 1


def test_distance_does_not_depend_on_the_sizes_or_the_scale() -> None:
    one, other = np.array([1.0, 2, 2, 3]), np.array([2.0, 3, 3, 3])
    distances = {
        round(ks_test(sample(change(np.repeat(one, times))), sample(change(other))).distance, 9)
        for times in (1, 3, 25)
        for change in (np.array, np.log, np.exp)
    }
    assert distances == {0.5}


def test_equal_samples_do_not_differ() -> None:
    found = ks_test(sample([1, 1, 2]), sample([1, 1, 2]))
    assert (found.distance, found.p) == (0, 1)


def test_separated_samples_have_the_exact_p() -> None:
    """2 of the 20 arrangements of three and three values are separated."""
    assert ks_test(sample([1, 2, 3]), sample([4, 5, 6])).p == pytest.approx(0.1, abs=0.02)
    assert ks_test(sample([1]), sample([2])).p == 1


def test_p_is_never_zero() -> None:
    assert ks_test(sample(range(100)), sample(range(200, 300))).p == 1 / (1 + MAX_PERMUTATIONS)


def test_p_of_large_samples_is_that_of_smirnov() -> None:
    one, other = np.arange(200) / 200, (np.arange(150) / 150) ** 1.45
    found = ks_test(sample(one), sample(other))
    # P = 2 sum (-1)^(k - 1) exp(-2 k^2 t^2), t = distance sqrt(n m / (n + m))
    t = found.distance * np.sqrt(200 * 150 / 350)
    limit = 2 * sum((-1) ** (k - 1) * np.exp(-2 * k * k * t * t) for k in range(1, 20))
    assert found.p == pytest.approx(limit, abs=0.02)


def test_empty_samples() -> None:
    with pytest.raises(ValueError, match="a sample is empty"):
        ks_test(sample([]), sample([1]))


def clustered(random: np.random.Generator, videos: int) -> Sample:
    """Return 1 to 9 nearly equal values per video."""
    counts = random.integers(1, 10, videos)
    values = np.repeat(random.exponential(1, videos), counts) + random.normal(0, 0.01, counts.sum())
    return Sample(values, np.repeat(np.arange(videos), counts))


def test_several_values_per_video_are_no_more_evidence() -> None:
    random = np.random.default_rng(1)
    pairs = [(clustered(random, 15), clustered(random, 20)) for _ in range(100)]
    assert np.mean([ks_test(*pair).p <= 0.05 for pair in pairs]) <= 0.08
    singly = [tuple(sample(one.values) for one in pair) for pair in pairs]
    assert np.mean([ks_test(*pair).p <= 0.05 for pair in singly]) > 0.3, "treating values as independent is wrong"


def test_effective_number_of_videos() -> None:
    assert Sample(np.zeros(6), np.array([7, 7, 7, 3, 3, 3])).effective == 2
    assert Sample(np.zeros(10), np.array([0] * 9 + [1])).effective == pytest.approx(100 / 82)


@pytest.mark.parametrize("videos", [(20, 30), (300, 100)])
def test_the_bound_covers_the_true_distance(videos: tuple[int, int]) -> None:
    """Uniform on 0..1 and on 0.2..1.2: the true distance is 0.2."""
    random = np.random.default_rng(2)
    held = [
        ks_test(sample(random.random(videos[0])), sample(random.random(videos[1]) + 0.2)).at_most >= 0.2
        for _ in range(100)
    ]
    assert np.mean(held) >= 0.95


@pytest.mark.parametrize("videos", [50, 200])
def test_the_interval_of_a_mean_difference_covers_at_its_level(videos: int) -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        interval = mean_difference(clustered(random, videos), clustered(random, 2 * videos))
        assert interval is not None
        held += interval.low <= 0 <= interval.high
    assert 0.92 <= held / 1000 <= 0.97


def test_one_video_has_no_interval() -> None:
    assert mean_difference(sample([1]), sample([1, 2])) is None
    assert mean_difference(sample([1, 2]), Sample(np.array([1.0, 2.0]), np.array([4, 4]))) is None


def test_holm() -> None:
    """Holm (1979): the smallest p is multiplied by the number of tests, the next by one less, and so on."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("hits", "videos", "p"),
    [
        ((3, 1), (4, 4), 34 / 70),  # Fisher's tea tasting
        ((0, 0), (20, 25), 1),
        ((5, 5), (5, 5), 1),
        ((3, 9), (20, 25), 0.17677262360259),  # scipy.stats.fisher_exact, as the next
        ((300, 400), (20000, 25000), 0.39933664959179),
        ((0, 1), (1, 1), 1),
    ],
)
def test_fisher(hits: tuple[int, int], videos: tuple[int, int], p: float) -> None:
    assert fisher_p(hits, videos) == pytest.approx(p, rel=1e-7)
    assert fisher_p(hits[::-1], videos[::-1]) == pytest.approx(p, rel=1e-7)


def test_fisher_of_large_counts() -> None:
    assert 0 <= fisher_p((0, 50_000), (100_000, 100_000)) < 1e-300


def test_newcombe() -> None:
    """Newcombe (1998), table II, example (a), method 10."""
    low, high = proportion_difference((48, 56), (80, 70))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = proportion_difference((0, 0), (10, 20))
    assert low < 0 < high, "rates of zero leave an interval of positive width"
