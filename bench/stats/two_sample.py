"""Two-sample comparison of distributions: the Kolmogorov-Smirnov distance, its permutation test, and means.

A video may have several values (one gate value per step), and only videos are independent. Permutations therefore
exchange whole videos between the samples, and effective sizes and standard errors treat videos as clusters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .intervals import LEVEL, Interval

MAX_PERMUTATIONS = 999
MIN_PERMUTATIONS = 199
"""Minimum number of permutations: the smallest p is then 1/200, below 0.05 after correction for ten tests."""
_TOTAL_VALUES = 100_000_000
_CHUNK = 1_000_000
_ROUNDING = 1e-12
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Sample:
    """Values of the videos of one sample.

    Attributes:
        values: float64 [n], finite.
        video: int64 [n], the video that each value belongs to, in any numbering.
    """

    values: NDArray[np.float64]
    video: NDArray[np.int64]

    @property
    def owners(self) -> NDArray[np.int64]:
        """Video of each value, [n], numbered from 0 without gaps."""
        return np.asarray(np.unique(self.video, return_inverse=True)[1], np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of values of each video with a value, [videos]."""
        return np.bincount(self.owners)

    @property
    def effective(self) -> float:
        """Effective number of videos, (sum k)^2 / sum k^2 for k values per video (Kish 1965)."""
        return float(self.counts.sum() ** 2 / (self.counts.astype(np.float64) ** 2).sum())

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return float(self.values.mean())


@dataclass(frozen=True)
class KSResult:
    """Kolmogorov-Smirnov distance between two samples.

    Attributes:
        distance: largest difference between the two cumulative distributions, 0..1.
        at: value at which they differ most.
        below: share of values <= ``at`` in each sample.
        at_most: one-sided 95 % upper bound of the distance between the populations.
        p: permutation p-value; at least 1 / (permutations + 1).
    """

    distance: float
    at: float
    below: tuple[float, float]
    at_most: float
    p: float


def ks_test(one: Sample, other: Sample, seed: int = 0) -> KSResult:
    """Test whether two samples have the same distribution.

    The distance (Smirnov 1939) depends only on the order of the values and is not distorted by unequal sample sizes.
    Its usual p-value assumes continuous, independent values. This test permutes videos, so it is valid for ties, such
    as exit steps, for several values per video, and for any sample size. It counts the observed arrangement (Phipson
    and Smyth 2010) and is therefore never zero. Uses 999 permutations, fewer (at least 199) for more than 100 thousand
    values.

    The upper bound uses the fact that the distance is at least the difference between two proportions at the value
    where the populations differ most; a proportion of n values has a standard error of at most 1 / (2 sqrt(n)).

    Raises:
        ValueError: a sample is empty.
    """
    if not len(one.values) or not len(other.values):
        raise ValueError("a sample is empty")
    pooled = np.concatenate([one.values, other.values])
    order = np.argsort(pooled, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(pooled[order]) > 0, True))
    owners = np.concatenate([one.owners, len(one.counts) + other.owners])[order]
    videos = len(one.counts) + len(other.counts)
    first = np.arange(videos) < len(one.counts)
    shares = [np.cumsum(mask[owners])[ends] / mask[owners].sum() for mask in (first, ~first)]
    gaps = np.abs(shares[0] - shares[1])
    largest = int(gaps.argmax())
    reached = [_distances(drawn[:, owners], ends) >= gaps[largest] - _ROUNDING for drawn in _draws(first, owners, seed)]
    hits = np.concatenate(reached)
    margin = _NORMAL.inv_cdf(LEVEL) / 2 * math.sqrt(1 / one.effective + 1 / other.effective)
    return KSResult(
        distance=float(gaps[largest]),
        at=float(pooled[order][ends[largest]]),
        below=(float(shares[0][largest]), float(shares[1][largest])),
        at_most=min(float(gaps[largest]) + margin, 1.0),
        p=(1 + int(hits.sum())) / (1 + len(hits)),
    )


def mean_difference(one: Sample, other: Sample) -> Interval | None:
    """Return the interval for the difference in means, second minus first; None if a sample has fewer than two videos.

    Normal approximation with the standard error of a ratio estimator, over clusters (Cochran 1977, section 6.3). In
    simulations with skewed values, it contained the true difference in 93 % of cases with 20 videos, and 95 % with 50.
    """
    if min(len(one.counts), len(other.counts)) < 2:
        return None
    half = _NORMAL.inv_cdf((1 + LEVEL) / 2) * math.sqrt(_variance_of_mean(one) + _variance_of_mean(other))
    difference = other.mean - one.mean
    return Interval(difference - half, difference + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), which controls the probability of any false rejection."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _variance_of_mean(sample: Sample) -> float:
    residuals = np.bincount(sample.owners, sample.values - sample.mean)
    videos = len(residuals)
    return float(videos / (videos - 1) * (residuals**2).sum() / len(sample.values) ** 2)


def _draws(first: NDArray[np.bool_], owners: NDArray[np.int64], seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield random assignments of videos to the first sample, bool [k, videos], to bound memory."""
    random = np.random.default_rng(seed)
    left = int(np.clip(_TOTAL_VALUES // len(owners), MIN_PERMUTATIONS, MAX_PERMUTATIONS))
    while left:
        chunk = min(left, max(_CHUNK // len(owners), 1))
        yield random.permuted(np.tile(first, (chunk, 1)), axis=1)
        left -= chunk


def _distances(in_first: NDArray[np.bool_], ends: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the distance of each assignment of sorted values, [k, n] -> [k]; ``ends`` are the last of equal values."""
    until = np.cumsum(in_first, axis=1, dtype=np.int32)
    sizes, others = until[:, -1:], len(in_first[0]) - until[:, -1:]
    # until / sizes - (ends + 1 - until) / others, with less arithmetic
    return np.asarray(np.abs(until[:, ends] * (1 / sizes + 1 / others) - (ends + 1) / others).max(axis=1))
