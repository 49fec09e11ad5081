"""Accuracy metrics as computed by the FrameExit evaluation, from arrays of scores and multi-hot labels.

Both metrics take probabilities float [n, C] and labels [n, C] (non-zero = positive), one row per video. Videos without
a label count only toward the mean average precision, and classes without a positive are skipped, as in the original;
`join` merges several rows of one video (the original uses the mean for Hit@1 and the maximum for mAP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.generic]


def hit_at_1(probabilities: Rows, labels: Rows) -> float:
    """Return the fraction of labeled videos whose highest-scoring class is among their labels, 0..1.

    Rows with no positives are skipped; NaN if no rows remain. Ties go to the first class. A row with a NaN score is a
    miss.
    """
    scores, positive = _validated(probabilities, labels)
    labeled = positive.any(axis=1)
    if not labeled.any():
        return float("nan")
    hits = positive[np.arange(len(scores)), scores.argmax(axis=1)] & ~np.isnan(scores).any(axis=1)
    return float(hits[labeled].mean())


def average_precisions(probabilities: Rows, labels: Rows) -> NDArray[np.float64]:
    """Return the average precision of every class over all videos, float64 [C]; NaN for a class with no positives.

    `sum(precision_at_k * positive_k) / (positives + 1e-15)` over descending scores. Ties keep row order (a stable sort;
    the original leaves it undefined); NaN scores come last.
    """
    scores, positive = _validated(probabilities, labels)
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(positive, order, axis=0)
    precision = ranked.cumsum(axis=0) / np.arange(1, len(scores) + 1)[:, None]
    positives = ranked.sum(axis=0)
    result: NDArray[np.float64] = (precision * ranked).sum(axis=0) / (positives + 1e-15)
    result[positives == 0] = np.nan
    return result


def mean_average_precision(probabilities: Rows, labels: Rows) -> float:
    """Return the mean of `average_precisions` over classes with a positive, 0..1; NaN if there is no such class."""
    precisions = average_precisions(probabilities, labels)
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if known.size else float("nan")


def join(
    ids: Sequence[str], probabilities: Rows, labels: Rows, how: Literal["mean", "max"]
) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_]]:
    """Merge rows by id, in order of first appearance: (ids, probabilities [m, C], labels [m, C]).

    Labels are merged by maximum, probabilities by `how`.
    """
    scores, positive = _validated(probabilities, labels)
    unique = tuple(dict.fromkeys(ids))
    place = {key: row for row, key in enumerate(unique)}
    rows = np.array([place[key] for key in ids], dtype=np.intp)
    joined = np.full((len(unique), scores.shape[1]), -np.inf if how == "max" else 0.0)
    if how == "max":
        np.maximum.at(joined, rows, scores)
    else:
        np.add.at(joined, rows, scores)
        joined /= np.bincount(rows, minlength=len(unique))[:, None]
    labeled = np.zeros(joined.shape, dtype=np.bool_)
    np.logical_or.at(labeled, rows, positive)
    return unique, joined, labeled


def _validated(probabilities: Rows, labels: Rows) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if probabilities.ndim != 2 or probabilities.shape != labels.shape:
        raise ValueError(
            f"probabilities {probabilities.shape} and labels {labels.shape} must have the same shape [n, C]"
        )
    return probabilities.astype(np.float64), labels.astype(np.bool_)
