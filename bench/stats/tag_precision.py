"""Mean average precision of tags in categories, over many videos and classes, by three protocols.

``flat`` is the mean over all classes with a positive, as in FrameExit's code. ``category`` is the unweighted mean of the
means of the categories, the overall figure of the HVU paper. ``labeled`` is the same, but each category is evaluated
only on the videos with at least one tag of it, as in mmaction2: a category without any tag may be unannotated. Values of
different protocols are not comparable.

The average precision of a class is the sum over its distinct scores, in descending order, of the gain in recall times
the precision. Equal scores enter together, so the order of the videos does not matter; without ties it is the figure of
``accuracy.py``. Classes are read in blocks, so only a part of the scores is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from .bootstrap import LEVEL, Interval

TagProtocol = Literal["flat", "category", "labeled"]
PROTOCOLS: tuple[TagProtocol, ...] = get_args(TagProtocol)
_BLOCK = 16_000_000  # scores in memory at a time: 64 MB
_MAP_CELLS = 400_000_000

Indices = NDArray[np.int64]


class Scores(Protocol):
    """Scores float32 of n videos and C classes, in memory or on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of videos and classes."""
        ...

    def columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the scores of the classes from ``start`` to ``stop``, ``[n, stop - start]``."""
        ...


@dataclass(frozen=True)
class ArrayScores:
    """Scores in memory, ``[n, C]``."""

    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def columns(self, start: int, stop: int) -> NDArray[np.float32]:
        return self.values[:, start:stop]


@dataclass(frozen=True)
class TagLabels:
    """Class indices of every video, None or () for none, and the category of every class."""

    labels: Sequence[Sequence[int] | None]
    categories: Sequence[str]

    @cached_property
    def positives(self) -> tuple[Indices, ...]:
        """The videos of every class, ascending."""
        counts = [len(label or ()) for label in self.labels]
        classes = np.fromiter((each for label in self.labels for each in label or ()), np.int64, sum(counts))
        videos = np.repeat(np.arange(len(counts)), counts)[np.argsort(classes, kind="stable")]
        return tuple(np.split(videos, np.cumsum(np.bincount(classes, minlength=len(self.categories)))[:-1]))

    @cached_property
    def labeled(self) -> dict[str, Indices]:
        """The videos with at least one tag of each category, ascending, by category in order of appearance."""
        by_category: dict[str, list[Indices]] = {name: [] for name in self.categories}
        for name, videos in zip(self.categories, self.positives):
            by_category[name].append(videos)
        return {name: np.unique(np.concatenate(videos)) for name, videos in by_category.items()}

    @cached_property
    def class_categories(self) -> NDArray[np.int64]:
        """The index of every class's category in ``labeled``."""
        place = {name: number for number, name in enumerate(self.labeled)}
        return np.array([place[name] for name in self.categories], np.int64)


def average_precision(scores: NDArray[np.float32], positives: Indices) -> float:
    """Return the average precision of one class over scores ``[n]``; NaN without a positive."""
    if not len(positives):
        return float("nan")
    ranked, found = np.sort(scores), np.sort(scores[positives])
    above = len(ranked) - np.searchsorted(ranked, found, "left")
    right = len(found) - np.searchsorted(found, found, "left")
    return float((right / above).mean())


def tag_precisions(scores: Scores, labels: TagLabels, *, labeled: bool = False) -> NDArray[np.float64]:
    """Return the average precision of every class, ``[C]``; NaN without a positive.

    Args:
        scores: any numbers whose order within a class matters, such as probabilities.
        labels: the classes of the same videos.
        labeled: use only the videos with a tag of the class's category.

    Raises:
        ValueError: a score is not finite, or scores and labels differ in their videos or classes.
    """
    found = np.full(len(labels.categories), np.nan)
    for number, column in _columns(scores, labels):
        positives = labels.positives[number]
        if labeled and len(positives):
            videos = labels.labeled[labels.categories[number]]
            column, positives = column[videos], np.searchsorted(videos, positives)
        found[number] = average_precision(column, positives)
    return found


def tag_map(scores: Scores, labels: TagLabels, protocol: TagProtocol = "flat") -> float:
    """Return the mean average precision by a protocol, 0..1; NaN if no class has a positive.

    Raises:
        ValueError: see `tag_precisions`.
    """
    precisions = tag_precisions(scores, labels, labeled=protocol == "labeled")
    return float(_mean(precisions[:, None], labels, protocol)[0])


def tag_summary(scores: Scores, labels: TagLabels) -> dict[str, Any]:
    """Return the figures of all protocols in percent, with those of every category; None where no class has a positive.

    ``flat`` and ``category`` are over all videos, ``labeled`` over the videos with a tag of the category; the numbers of
    those are in ``labeled_videos``.

    Raises:
        ValueError: see `tag_precisions`.
    """
    over_all, over_labeled = (tag_precisions(scores, labels, labeled=labeled) for labeled in (False, True))
    means = {
        protocol: float(_mean((over_labeled if protocol == "labeled" else over_all)[:, None], labels, protocol)[0])
        for protocol in PROTOCOLS
    }
    names = tuple(labels.labeled)
    return {
        **{protocol: _percent(value) for protocol, value in means.items()},
        "classes_with_positives": int((~np.isnan(over_all)).sum()),
        "categories": dict(zip(names, map(_percent, _category_means(over_all[:, None], labels)[:, 0]))),
        "labeled_categories": dict(zip(names, map(_percent, _category_means(over_labeled[:, None], labels)[:, 0]))),
        "labeled_videos": {name: len(videos) for name, videos in labels.labeled.items()},
    }


def resampled_tag_maps(
    scores: Scores, labels: TagLabels, weights: NDArray[np.unsignedinteger], protocol: TagProtocol
) -> NDArray[np.float64]:
    """Return `tag_map` of resamples in which video i appears weights[i, r] times, float64 ``[R]``."""
    found = np.full((len(labels.categories), weights.shape[1]), np.nan)
    for number, column in _columns(scores, labels):
        positives = labels.positives[number]
        if not len(positives):
            continue
        drawn = weights
        if protocol == "labeled":
            videos = labels.labeled[labels.categories[number]]
            column, positives, drawn = column[videos], np.searchsorted(videos, positives), weights[videos]
        found[number] = _resampled_precision(column, positives, drawn)
    return _mean(found, labels, protocol)


def tag_interval(scores: Scores, labels: TagLabels, protocol: TagProtocol = "flat", seed: int = 0) -> Interval:
    """Return the percentile bootstrap interval of `tag_map`, 0..1; NaN if no class has a positive."""
    return _percentiles(resampled_tag_maps(scores, labels, bootstrap_weights(scores.shape, seed), protocol))


def tag_difference_interval(
    before: Scores, after: Scores, labels: TagLabels, protocol: TagProtocol = "flat", seed: int = 0
) -> Interval:
    """Return the interval of the difference of `tag_map`, after minus before, paired by video."""
    weights = bootstrap_weights(before.shape, seed)
    one, other = (resampled_tag_maps(scores, labels, weights, protocol) for scores in (before, after))
    return _percentiles(other - one)


def bootstrap_weights(shape: tuple[int, int], seed: int = 0) -> NDArray[np.unsignedinteger]:
    """Return how often each resample draws each video, ``[n, R]``; R is 1000, and down to 200 for many scores."""
    random, videos = np.random.default_rng(seed), shape[0]
    resamples = int(np.clip(_MAP_CELLS // max(shape[0] * shape[1], 1), 200, 1000))
    drawn = random.multinomial(videos, np.full(videos, 1 / max(videos, 1)), resamples).T
    return np.ascontiguousarray(drawn.astype(np.min_scalar_type(int(drawn.max(initial=0)))))


def _resampled_precision(
    column: NDArray[np.float32], positives: Indices, weights: NDArray[np.unsignedinteger]
) -> NDArray[np.float64]:
    """Return the average precision of one class in every resample, ``[R]``; NaN in one without a positive."""
    values = np.unique(column[positives])[::-1]
    order = np.argsort(-column, kind="stable")
    ends = np.searchsorted(-column[order], -values, "right")  # number of videos at or above each value
    starts = np.concatenate([[0], ends[:-1]])
    between = np.add.reduceat(weights[order[: ends[-1]]], starts, axis=0, dtype=np.int32)
    above = np.cumsum(between, axis=0)
    group = np.searchsorted(-values, -column[positives])
    in_order = np.argsort(group, kind="stable")
    firsts = np.searchsorted(group[in_order], np.arange(len(values)))
    gained = np.add.reduceat(weights[positives[in_order]], firsts, axis=0, dtype=np.int32)
    right = np.cumsum(gained, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.where(gained > 0, gained * (right / above), 0.0).sum(axis=0)
        precisions: NDArray[np.float64] = sums / right[-1]
    return precisions


def _columns(scores: Scores, labels: TagLabels) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield every class with its scores ``[n]``."""
    if scores.shape != (len(labels.labels), len(labels.categories)):
        raise ValueError(f"scores {scores.shape} are not of {len(labels.labels)} videos, {len(labels.categories)} classes")
    videos, classes = scores.shape
    step = max(1, _BLOCK // max(videos, 1))
    for start in range(0, classes, step):
        block = np.ascontiguousarray(scores.columns(start, min(start + step, classes)).T)
        if not np.isfinite(block).all():
            raise ValueError("a score is not finite")
        yield from enumerate(block, start=start)


def _mean(precisions: NDArray[np.float64], labels: TagLabels, protocol: TagProtocol) -> NDArray[np.float64]:
    """Return the mean by a protocol of precisions ``[C, R]``, ``[R]``."""
    return _nan_mean(precisions if protocol == "flat" else _category_means(precisions, labels))


def _category_means(precisions: NDArray[np.float64], labels: TagLabels) -> NDArray[np.float64]:
    """Return the mean of precisions ``[C, R]`` over the classes of each category, ``[categories, R]``."""
    of = labels.class_categories
    return np.stack([_nan_mean(precisions[of == number]) for number in range(len(labels.labeled))])


def _nan_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means over the first axis without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
    return means


def _percentiles(values: NDArray[np.float64]) -> Interval:
    if np.isnan(values).all():
        return Interval(float("nan"), float("nan"))
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else 100 * float(value)
