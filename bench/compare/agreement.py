"""Agreement between two runs over the same videos, and the distance of each decision from its threshold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import RunError
from ...runtime.policies.base import Policy
from ..records.tables import read_predictions

if TYPE_CHECKING:
    import polars
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Agreement:
    """Differences between two runs over the same ``videos``.

    Attributes:
        other_class: number of videos whose class differs, or that have a prediction in only one run.
        other_exit_step: number of videos whose exit step differs, or that have a prediction in only one run.
        changed: number of videos whose class or exit step differs; a video that differs in both counts once.
        exit_step_changes: number of videos for each exit-step difference (second run minus first) other than zero.
        probability_difference: largest difference between a video's top probabilities in the two runs.
        score_differences: differences between gate values (confidences at step 1) at the same step.
        answered_once: number of videos with a prediction in only one run.
    """

    videos: int
    other_class: int
    other_exit_step: int
    changed: int
    exit_step_changes: dict[int, int]
    probability_difference: float
    score_differences: Distribution
    answered_once: int = 0


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
    steps = both.select(["exit_step", "exit_step_other"]).drop_nulls()
    changes = Counter((steps["exit_step_other"] - steps["exit_step"]).to_list())
    largest = (both["probability"] - both["probability_other"]).abs().max()
    return Agreement(
        videos=len(both),
        other_class=int(_differing(both, "prediction").sum()),
        other_exit_step=int(_differing(both, "exit_step").sum()),
        changed=int((_differing(both, "prediction") | _differing(both, "exit_step")).sum()),
        exit_step_changes={change: changes[change] for change in sorted(changes) if change},
        probability_difference=float(largest) if isinstance(largest, float) else 0.0,
        score_differences=distribution(_score_differences(both)),
        answered_once=int((both["prediction"].is_null() != both["prediction_other"].is_null()).sum()),
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
