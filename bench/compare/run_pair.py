"""Two finished runs over the same videos: read, validated, and aligned by video key.

This module compares no metrics. Runs over different data sets, videos or labels are rejected first, because a
difference between them would be meaningless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ..records.conditions import Conditions, read_conditions
from ..records.run_file import RunRecord, read_run
from ..records.score_table import PROBABILITIES, ScoreInfo, read_info, read_scores
from ..records.tables import PREDICTIONS, has_probabilities, read_predictions, read_probabilities

if TYPE_CHECKING:
    import polars

    from ..stats.tag_precision import Scores

_COLUMNS = ("video", "label", "prediction", "probability", "frames_used", "gmacs", "latency_ms", "elapsed_ms")


@dataclass(frozen=True)
class ComparedRun:
    """Configuration of one run: bundle, engine and other settings that affect timing. ``threads=0`` means all cores.

    ``conditions`` are those of the measurement; None if they are unknown.
    """

    run: str
    bundle: str
    engine: str
    precision: str
    threads: int
    policy: dict[str, Any]
    policy_label: str
    schedule: dict[str, Any]
    machine: dict[str, Any]
    conditions: Conditions | None = None


@dataclass(frozen=True)
class RunPredictions:
    """Predictions of a run, one row per video, sorted by key.

    Attributes:
        answered: bool [n], whether there is a prediction.
        right: bool [n], whether the prediction is one of the video's labels; False if there is no prediction.
        probabilities: float32 [n, C], -inf for a video without a prediction; None if the run folder does not contain
            them all, or if the metric has categories.
        scores: the probabilities, by video, if the metric has categories; None if the run folder does not contain them.
        info: description of the probabilities.
    """

    table: polars.DataFrame
    answered: NDArray[np.bool_]
    right: NDArray[np.bool_]
    probabilities: NDArray[np.float32] | None
    scores: Scores | None = None
    info: ScoreInfo = field(default_factory=ScoreInfo)

    def column(self, name: str, of: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return a column for the videos selected by the mask ``of``, with NaN for missing values."""
        import polars

        values: NDArray[np.float64] = self.table[name].cast(polars.Float64).to_numpy()
        return values[of]


@dataclass(frozen=True)
class RunPair:
    """Both runs; ``labels`` has each video's class indices, () for a video without a label."""

    sides: tuple[ComparedRun, ComparedRun]
    answers: tuple[RunPredictions, RunPredictions]
    dataset: str
    metric: str
    labels: tuple[tuple[int, ...], ...]

    @property
    def categories(self) -> tuple[str, ...] | None:
        """The category of every class, if the metric has categories."""
        return self.answers[0].info.categories


def read_pair(before: Path, after: Path) -> RunPair:
    """Read two runs to compare.

    Raises:
        RunError: a run is missing, incomplete or damaged, or has no predictions; or the runs differ in their videos,
            labels or metric.
    """
    runs = (before, after)
    records = [read_run(run, finished=True) for run in runs]
    dataset = _same(runs, "the data set", [record.get("dataset", str) for record in records])
    metric = _same(runs, "the metric", [record.object("metrics").get("metric", str) for record in records])
    tables = [read_predictions(run, _COLUMNS).sort("video") for run in runs]
    labels = _labels(runs, tables)
    answers = [_answers(run, table, labels) for run, table in zip(runs, tables)]
    infos = [each.info for each in answers]
    if infos[0].categories != infos[1].categories:
        raise RunError(
            f"{before} and {after} have different tags", "compare runs from networks with the same class order"
        )
    one, other = (compared_run(record) for record in records)
    return RunPair((one, other), (answers[0], answers[1]), dataset, metric, labels)


def _same(runs: tuple[Path, Path], what: str, values: Sequence[str]) -> str:
    """Return the value that both runs share; raise RunError if they differ."""
    if values[0] != values[1]:
        raise RunError(
            f"{runs[0]} has {what} {values[0]}, but {runs[1]} has {values[1]}", f"compare runs that share {what}"
        )
    return values[0]


def compared_run(record: RunRecord) -> ComparedRun:
    """Return the configuration of a run from its record.

    Raises:
        RunError: an entry is missing.
    """
    engine = record.object("config").object("engine")
    return ComparedRun(
        run=str(record.run),
        bundle=record.object("bundle").get("name", str),
        engine=record.get("engine", str),
        precision=engine.get("precision", str),
        threads=engine.get("threads", int),
        policy=record.get("policy", dict),
        policy_label=record.get("policy_label", str),
        schedule=record.get("schedule", dict),
        machine=record.get("machine", dict),
        conditions=read_conditions(record),
    )


def _labels(runs: Sequence[Path], tables: Sequence[polars.DataFrame]) -> tuple[tuple[int, ...], ...]:
    videos = [set(table["video"]) for table in tables]
    only = [len(videos[0] - videos[1]), len(videos[1] - videos[0])]
    if any(only) or len(tables[0]) != len(tables[1]):
        what = f"{only[0]} videos are only in {runs[0]} and {only[1]} only in {runs[1]}"
        raise RunError(what, "compare runs over the same videos, or compare the samples: vbench compare --drift")
    labels = [[tuple(label or ()) for label in table["label"].to_list()] for table in tables]
    others = sum(one != other for one, other in zip(*labels))
    if others:
        what = f"{others} videos have different labels in {runs[0]} and {runs[1]}"
        raise RunError(what, "compare runs with the same labels, from networks with the same class order")
    return tuple(labels[0])


def _answers(run: Path, table: polars.DataFrame, labels: Sequence[tuple[int, ...]]) -> RunPredictions:
    answered = table["prediction"].is_not_null().to_numpy()
    if not answered.any():
        raise RunError(f"{run}: none of its {len(table)} videos has a prediction", "see the error column of its table")
    # argmax returns an index for NaN probabilities too; such a prediction is a miss, as in the accuracy of a run.
    sound = table["probability"].is_not_nan().fill_null(False).to_numpy()
    hits = np.array([answer in label for answer, label in zip(table["prediction"], labels)], np.bool_)
    info, kept = read_info(run), has_probabilities(run)
    scores = None
    if info.categories is not None and info.top_k is None and kept:
        scores = read_scores(run, table["video"].to_list(), len(info.categories), info)
    whole = kept and info.top_k is None and scores is None
    probabilities = _probabilities(run, table["video"], answered) if whole else None
    return RunPredictions(table, answered, hits & sound, probabilities, scores, info)


def _probabilities(run: Path, videos: polars.Series, answered: NDArray[np.bool_]) -> NDArray[np.float32]:
    table = read_probabilities(run).sort("video")
    found = table["probabilities"].drop_nulls()
    fits = len(found) == answered.sum() and table["video"].equals(videos)
    # A column of nulls does not have a list type, so it has no list lengths.
    classes = found.list.len().unique().to_list() if fits else []
    if len(classes) != 1:
        raise RunError(f"{run / PROBABILITIES} does not match {PREDICTIONS}", "repeat the run")
    scores = np.full((len(videos), classes[0]), -np.inf, np.float32)
    scores[answered] = found.explode().to_numpy().reshape(-1, classes[0])
    return scores
