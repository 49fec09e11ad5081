"""Two finished runs over the same videos, side by side: read, checked, and in the same order.

Nothing is compared here. A pair that cannot be compared (another data set, other videos, other labels) is an error
before any number is looked at, because a difference between such runs would mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ..records.run_folder import RUN_FILE, read_run
from ..records.video_row import PREDICTIONS, PROBABILITIES

if TYPE_CHECKING:
    import polars

_COLUMNS = ("video", "label", "prediction", "probability", "frames_used", "gmacs", "latency_ms", "elapsed_ms")


@dataclass(frozen=True)
class Side:
    """What one of the runs was: bundle, engine and what else its times depend on. ``threads`` 0 are all cores."""

    run: str
    bundle: str
    engine: str
    precision: str
    threads: int
    policy: dict[str, Any]
    schedule: dict[str, Any]
    machine: dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """The answers of a run, a video in a place, sorted by key.

    Attributes:
        answered: bool [n], whether there is an answer.
        right: bool [n], whether the answer is a class of the video's labels; False without an answer.
        probabilities: float32 [n, C], -inf without an answer; None if the run folder does not hold them.
    """

    table: polars.DataFrame
    answered: NDArray[np.bool_]
    right: NDArray[np.bool_]
    probabilities: NDArray[np.float32] | None

    def column(self, name: str, of: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return a column of the predictions for the videos ``of``; NaN for what is not there."""
        import polars

        values: NDArray[np.float64] = self.table[name].cast(polars.Float64).to_numpy()
        return values[of]


@dataclass(frozen=True)
class Pair:
    """Both runs; ``labels`` holds the positions of each video's classes, () of a video without a label."""

    sides: tuple[Side, Side]
    answers: tuple[Answers, Answers]
    dataset: str
    metric: str
    labels: tuple[tuple[int, ...], ...]


def read_pair(before: Path, after: Path) -> Pair:
    """Read two runs that are to be compared.

    Raises:
        RunError: a run is not there, not complete, damaged or without a single answer; or the two are not over the
            same videos with the same labels, judged by the same metric.
    """
    runs = (before, after)
    contents = [_complete(run) for run in runs]
    for name, where in (("dataset", "the data set"), ("metric", "the metric")):
        values = [_value(run, content, name) for run, content in zip(runs, contents)]
        if values[0] != values[1]:
            raise RunError(f"{before} has {where} {values[0]}, {after} has {values[1]}", "compare runs of the same one")
    tables = [_table(run / PREDICTIONS, _COLUMNS) for run in runs]
    labels = _labels(runs, tables)
    answers = [_answers(run, table, labels) for run, table in zip(runs, tables)]
    sides = [_side(run, content) for run, content in zip(runs, contents)]
    dataset, metric = (_value(before, contents[0], name) for name in ("dataset", "metric"))
    return Pair((sides[0], sides[1]), (answers[0], answers[1]), dataset, metric, labels)


def _complete(run: Path) -> dict[str, Any]:
    content = read_run(run)
    if content.get("complete") is not True:
        raise RunError(f"{run}: the run did not finish", f"go on with it: vbench run --resume {run}")
    return content


def _value(run: Path, content: dict[str, Any], name: str) -> str:
    try:
        return str(content["dataset"] if name == "dataset" else content["metrics"][name])
    except (KeyError, TypeError):
        raise RunError(f"{run / RUN_FILE}: not whole", "run it again") from None


def _side(run: Path, content: dict[str, Any]) -> Side:
    try:
        config = content["config"]
        return Side(
            run=str(run),
            bundle=str(content["bundle"]["name"]),
            engine=str(content["engine"]),
            precision=str(config["precision"]),
            threads=int(config["threads"]),
            policy=dict(content["policy"]),
            schedule=dict(content["schedule"]),
            machine=dict(content["machine"]),
        )
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{run / RUN_FILE}: not whole", "run it again") from None


def _table(file: Path, columns: Sequence[str]) -> polars.DataFrame:
    import polars

    if not file.is_file():
        raise RunError(f"{file}: not there", "give finished runs")
    try:
        return polars.read_parquet(file, columns=list(columns), glob=False).sort("video")
    except (polars.exceptions.PolarsError, OSError):
        raise RunError(f"{file}: not readable as a table", "run it again") from None


def _labels(runs: Sequence[Path], tables: Sequence[polars.DataFrame]) -> tuple[tuple[int, ...], ...]:
    videos = [set(table["video"]) for table in tables]
    only = [len(videos[0] - videos[1]), len(videos[1] - videos[0])]
    if any(only) or len(tables[0]) != len(tables[1]):
        what = f"{only[0]} videos are only in {runs[0]} and {only[1]} only in {runs[1]}"
        raise RunError(what, "compare runs over the same videos")
    labels = [[tuple(label or ()) for label in table["label"].to_list()] for table in tables]
    others = sum(one != other for one, other in zip(*labels))
    if others:
        what = f"{others} videos have another label in {runs[1]} than in {runs[0]}"
        raise RunError(what, "compare runs with the same labels, of networks that number the classes alike")
    return tuple(labels[0])


def _answers(run: Path, table: polars.DataFrame, labels: Sequence[tuple[int, ...]]) -> Answers:
    answered = table["prediction"].is_not_null().to_numpy()
    if not answered.any():
        raise RunError(f"{run}: not one of its {len(table)} videos was answered", "see the column error of its table")
    # NaN probabilities have a largest place all the same; such an answer is a miss, as in the accuracy of a run
    sound = table["probability"].is_not_nan().fill_null(False).to_numpy()
    hits = np.array([answer in label for answer, label in zip(table["prediction"], labels)], np.bool_)
    return Answers(table, answered, hits & sound, _probabilities(run, table["video"], answered))


def _probabilities(run: Path, videos: polars.Series, answered: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    if not (run / PROBABILITIES).is_file():
        return None
    table = _table(run / PROBABILITIES, ("video", "probabilities"))
    found = table["probabilities"].drop_nulls()
    classes = found.list.len().unique().to_list()
    if len(classes) != 1 or len(found) != answered.sum() or not table["video"].equals(videos):
        raise RunError(f"{run / PROBABILITIES}: does not fit {PREDICTIONS}", "run it again")
    scores = np.full((len(videos), classes[0]), -np.inf, np.float32)
    scores[answered] = found.explode().to_numpy().reshape(-1, classes[0])
    return scores
