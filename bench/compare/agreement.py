"""Agreement between two runs over the same videos, and the distance of each decision from its threshold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...runtime.policies.base import Policy
from ..records.score_table import read_info, read_scores
from ..records.tables import read_predictions

_HALF = 0.5
_COLUMNS = 256  # classes compared at a time

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Agreement:
    """Differences between two runs over the same ``videos``.

    Attributes:
        other_class: videos whose class differs, or that have a prediction in only one run.
        other_exit_step: videos whose exit step differs, or that have a prediction in only one run.
        changed: videos whose class or exit step differs; a video where both differ counts once.
        exit_step_changes: number of videos by exit-step difference, second run minus first; zero is omitted.
        probability_difference: largest difference in a top probability.
        score_differences: differences between gate values (between confidences at step 1) at the same step.
        answered_once: videos with a prediction in only one run.
        other_tags: for networks with independent classes, videos for which the set of classes above 1/2 differs; they
            count as ``changed``, and ``probability_difference`` covers all classes. None for other networks, and if a
            run keeps only some of the probabilities.
    """

    videos: int
    other_class: int
    other_exit_step: int
    changed: int
    exit_step_changes: dict[int, int]
    probability_difference: float
    score_differences: Distribution
    answered_once: int = 0
    other_tags: int | None = None


@dataclass(frozen=True)
class Distribution:
    """Percentiles of ``count`` values; None if there are no values."""

    count: int
    p1: float | None
    p10: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    largest: float | None


def agreement(one: Path, other: Path) -> Agreement:
    """Compare two finished runs video by video.

    Raises:
        RunError: a run has no table of predictions, or the runs cover different videos.
    """
    both = _joined(one, other)
    tags = _tag_differences(one, other, both)
    changed = _differing(both, "prediction") | _differing(both, "exit_step")
    steps = both.select(["exit_step", "exit_step_other"]).drop_nulls()
    changes = Counter((steps["exit_step_other"] - steps["exit_step"]).to_list())
    largest = (both["probability"] - both["probability_other"]).abs().max()
    return Agreement(
        videos=len(both),
        other_class=int(_differing(both, "prediction").sum()),
        other_exit_step=int(_differing(both, "exit_step").sum()),
        changed=int(changed.sum() if tags is None else (changed.to_numpy() | tags.other).sum()),
        exit_step_changes={change: changes[change] for change in sorted(changes) if change},
        probability_difference=tags.largest if tags else float(largest) if isinstance(largest, float) else 0.0,
        score_differences=distribution(_score_differences(both)),
        answered_once=int((both["prediction"].is_null() != both["prediction_other"].is_null()).sum()),
        other_tags=None if tags is None else int(tags.other.sum()),
    )


def margins(run: Path, policy: Policy) -> Distribution:
    """Return the distances between a run's gate values and their thresholds; close decisions flip easily.

    Raises:
        RunError: the run has no table of predictions.
    """
    distances = [
        abs(score - threshold)
        for scores in read_predictions(run)["scores"].drop_nulls().to_list()
        for step, score in enumerate(scores, start=1)
        if (threshold := policy.threshold_at(step)) is not None
    ]
    return distribution(np.array(distances))


def distribution(values: NDArray[np.float64]) -> Distribution:
    """Return the percentiles of ``values``; NaN propagates."""
    if not len(values):
        return Distribution(0, *6 * [None])
    return Distribution(len(values), *(float(value) for value in np.percentile(values, (1, 10, 50, 90, 99, 100))))


class _TagDifferences(NamedTuple):
    """Whether the set of classes above 1/2 differs, bool ``[n]``, and the largest difference in a probability."""

    other: NDArray[np.bool_]
    largest: float


def _tag_differences(one: Path, other: Path, both: polars.DataFrame) -> _TagDifferences | None:
    """Compare the probabilities of independent classes, over videos with a prediction in both runs."""
    infos = [read_info(run) for run in (one, other)]
    categories = infos[0].categories
    if any(info.output != "sigmoid" or info.top_k is not None for info in infos) or categories is None:
        return None
    videos, answered = (
        both["video"].to_list(),
        both["prediction"].is_not_null() & both["prediction_other"].is_not_null(),
    )
    sides = [read_scores(run, videos, len(categories), info) for run, info in zip((one, other), infos)]
    changed, largest, counted = np.zeros(len(videos), np.bool_), 0.0, answered.to_numpy()
    for start in range(0, len(categories), _COLUMNS):
        first, second = (scores.columns(start, min(start + _COLUMNS, len(categories))) for scores in sides)
        changed |= ((first > _HALF) != (second > _HALF)).any(axis=1)
        largest = max(largest, float(np.abs(first - second)[counted].max(initial=0.0)))
    return _TagDifferences(changed & counted, largest)


def _joined(one: Path, other: Path) -> polars.DataFrame:
    first, second = read_predictions(one), read_predictions(other)
    both = first.join(second, on="video", suffix="_other")
    if not len(first) == len(second) == len(both):
        raise RunError(f"{one} and {other} do not cover the same videos", "compare runs over the same data set")
    return both


def _differing(both: polars.DataFrame, column: str) -> polars.Series:
    return ~both[column].eq_missing(both[f"{column}_other"])


def _score_differences(both: polars.DataFrame) -> NDArray[np.float64]:
    pairs = both.select(["scores", "scores_other"]).drop_nulls().iter_rows()
    return np.array([abs(a - b) for one, other in pairs for a, b in zip(one, other)])
