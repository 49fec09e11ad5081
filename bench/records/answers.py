"""Accuracy interval and failed videos of a run, derived from its tables.

``run.json`` contains no intervals: they are derived from the rows by the same rules as the accuracy itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckError, RunError
from ..datasets import Metric
from ..stats.intervals import Interval, map_interval, proportion_intervals
from ..stats.tag_precision import TagLabels, tag_interval
from .score_table import ScoreInfo, read_info, read_scores
from .tables import PREDICTIONS, read_predictions, read_probabilities

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class FailedVideo:
    """A video without a prediction, and the reason."""

    video: str
    reason: str


@dataclass(frozen=True)
class RunAnswers:
    """Results derived from the tables of a run.

    Attributes:
        interval: 95 % interval of the accuracy, in percent; None if there is no accuracy, or if it is an mAP and the
            run keeps only some of the probabilities.
        unanswered: the videos without a prediction, in run order.
    """

    interval: Interval | None
    unanswered: tuple[FailedVideo, ...]


def read_answers(run: Path, metric: Metric) -> RunAnswers:
    """Read the accuracy interval and the failed videos of the finished run ``run``.

    Raises:
        RunError: a table is missing or damaged.
    """
    import polars

    try:
        table = read_predictions(run)
        failed = table.filter(polars.col("error").is_not_null())
        interval = _top1_interval(table) if metric == "top1" else _read_map_interval(run, table)
        unanswered = [
            FailedVideo(str(video), str(reason)) for video, reason in failed.select("video", "error").iter_rows()
        ]
    except (polars.exceptions.PolarsError, ValueError, IndexError, TypeError):
        raise RunError(f"{run / PREDICTIONS} is damaged", "repeat the run") from None
    return RunAnswers(interval, tuple(unanswered))


def require_answers(run: Path, metrics: Mapping[str, Any]) -> None:
    """Check that at least one video of the finished run ``run`` has a prediction; ``metrics`` are the run's.

    Raises:
        CheckError: no videos have one; the message includes the first video's error.
        RunError: the table is missing or damaged.
    """
    if metrics["errors"] < max(metrics["videos"], 1):
        return
    video, error = read_predictions(run, ("video", "error")).row(0)
    raise CheckError(
        f"none of the {metrics['videos']} videos of {run} has a prediction; the first, {video}, failed: {error}"
    )


def _top1_interval(table: polars.DataFrame) -> Interval | None:
    rows = table.select("prediction", "probability", "label", "error").iter_rows()
    # argmax returns an index for NaN probabilities too; such a prediction is a miss, as in the accuracy of the run.
    hits = [answer in label and top == top for answer, top, label, error in rows if error is None and label]
    if not hits:
        return None
    low, high = 100 * proportion_intervals(np.array([sum(hits)]), len(hits))[0]
    return Interval(float(low), float(high))


def _read_map_interval(run: Path, table: polars.DataFrame) -> Interval | None:
    info = read_info(run)
    if info.top_k is not None:
        return None
    if info.categories is None:
        return _map_interval(table, read_probabilities(run))
    answered = table["prediction"].is_not_null()
    return _tag_interval(run, table, answered, info, info.categories) if answered.any() else None


def _tag_interval(
    run: Path, table: polars.DataFrame, answered: polars.Series, info: ScoreInfo, categories: Sequence[str]
) -> Interval | None:
    scores = read_scores(run, table["video"].to_list(), len(categories), info)
    labels = table.filter(answered)["label"].to_list()
    found = tag_interval(scores.select(np.flatnonzero(answered.to_numpy())), TagLabels(labels, categories))
    return None if np.isnan(found.low) else Interval(100 * found.low, 100 * found.high)


def _map_interval(table: polars.DataFrame, scores: polars.DataFrame) -> Interval | None:
    joined = table.select("video", "label", "error").join(scores, on="video", how="inner", maintain_order="left")
    rows = [
        (label or (), found) for _, label, error, found in joined.iter_rows() if error is None and found is not None
    ]
    if not rows:
        return None
    probabilities = np.array([found for _, found in rows], np.float32)
    labels: NDArray[np.bool_] = np.zeros(probabilities.shape, np.bool_)
    for place, (label, _) in enumerate(rows):
        labels[place, list(label)] = True
    found = map_interval(probabilities, labels)
    return None if np.isnan(found.low) else Interval(100 * found.low, 100 * found.high)
