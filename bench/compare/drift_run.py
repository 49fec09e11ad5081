"""A finished run as a sample of videos, and the check that two runs differ in nothing but their videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...runtime.policies.registry import policy_of
from ..records.run_file import RunRecord, read_run
from ..records.tables import read_predictions
from ..stats.two_sample import Sample
from .run_pair import ComparedRun, compared_run

if TYPE_CHECKING:
    import polars

_COLUMNS = ("video", "probability", "frames_used", "scores", "error")


@dataclass(frozen=True)
class DriftRun:
    """One run as a sample; a distribution without values is empty.

    Attributes:
        videos: keys of all videos.
        errors: number of videos without a prediction.
        traced: whether every video ran all steps, to record a trace.
        frames: frames used; within one policy, they grow with the exit step.
        decisions: confidences that the policy compared with a threshold, at every step that has no gate.
        gates: gate values that the policy compared with a threshold.
        confidences: probability of the predicted class.
    """

    side: ComparedRun
    dataset: str
    videos: frozenset[str]
    errors: int
    traced: bool
    frames: Sample
    decisions: Sample
    gates: Sample
    confidences: Sample


def read_drift_runs(reference: Path, today: Path) -> tuple[DriftRun, DriftRun]:
    """Read two runs of the same bundle with the same policy.

    Raises:
        RunError: a run is missing, incomplete or damaged; the runs differ in their bundle or policy; a run has no
            videos; or the reference has no prediction.
    """
    records = [read_run(run, finished=True) for run in (reference, today)]
    bundles = [_bundle(record) for record in records]
    policies = [(record.get("policy_label", str), record.get("policy", dict)) for record in records]
    if bundles[0] != bundles[1]:
        raise _difference(records, "bundle", bundles, "run the same bundle over both sets of videos")
    if policies[0] != policies[1]:
        raise _difference(records, "policy", [label for label, _ in policies], "pass the same policy to both runs")
    first, second = (_drift_run(record) for record in records)
    if first.errors == len(first.videos):
        what = f"{reference}: none of its {len(first.videos)} videos has a prediction"
        raise RunError(what, "pass a reference run with predictions")
    return first, second


def _bundle(record: RunRecord) -> str:
    bundle = record.object("bundle")
    return f"{bundle.get('name', str)} ({bundle.get('network', str)}, SHA-256 {bundle.get('sha256', str)[:12]})"


def _difference(records: Sequence[RunRecord], what: str, values: Sequence[str], hint: str) -> RunError:
    one, other = (f"{record.run} has the {what} {value}" for record, value in zip(records, values))
    return RunError(f"{one}, {other}", hint)


def _drift_run(record: RunRecord) -> DriftRun:
    table = read_predictions(record.run, _COLUMNS)
    if not len(table):
        raise RunError(f"{record.run} has no videos", "pass a run over at least one video")
    scores, is_gate = _scores(record, table)
    return DriftRun(
        side=compared_run(record),
        dataset=record.get("dataset", str),
        videos=frozenset(table["video"]),
        errors=len(table) - table["error"].null_count(),
        traced=record.object("config").get("trace", bool),
        frames=_column(table, "frames_used"),
        decisions=_finite(scores.values[~is_gate], scores.video[~is_gate]),
        gates=_finite(scores.values[is_gate], scores.video[is_gate]),
        confidences=_column(table, "probability"),
    )


def _column(table: polars.DataFrame, name: str) -> Sample:
    import polars

    # fill_null: an empty cell becomes NaN, which is dropped
    values = table[name].cast(polars.Float64).fill_null(float("nan")).to_numpy()
    return _finite(values, np.arange(len(values)))


def _scores(record: RunRecord, table: polars.DataFrame) -> tuple[Sample, NDArray[np.bool_]]:
    """Return the values compared by the policy, and which of them are gate values."""
    policy = policy_of(record.get("policy", dict), f"{record.run}: run.json")
    lists = table["scores"].to_list()
    values = [(score, video, step) for video, row in enumerate(lists) for step, score in enumerate(row or (), start=1)]
    scores, videos, steps = (np.array(column) for column in zip(*values)) if values else 3 * (np.zeros(0),)
    gated = [step for step in np.unique(steps) if policy.needs_gate(int(step))]
    return Sample(scores.astype(np.float64), videos.astype(np.int64)), np.isin(steps, gated)


def _finite(values: NDArray[np.float64], video: NDArray[np.int64]) -> Sample:
    """Return a sample without NaN, which runs from earlier versions may contain."""
    known = np.isfinite(values)
    return Sample(values[known], video[known])
