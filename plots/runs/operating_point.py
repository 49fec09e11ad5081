"""Operating points of finished runs, the input of the figures.

A figure needs only a few numbers from a run; they are read from its record and validated here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from ...bench.records.run_file import Entries, RunRecord, read_run, variant_runs
from ...errors import RunError
from .timing import Setting, Timing, read_setting, read_timing

METRICS = {"top1": "top-1", "map": "mAP"}


@dataclass(frozen=True)
class OperatingPoint:
    """Accuracy and cost of one run. ``exit_counts`` is the number of videos that exited at each step, from step 1.

    ``accuracy`` is in percent; ``gflops_paper`` and ``gmacs`` are per video, in units of 1e9. ``frame_counts`` is the
    number of frames that each step reads if every step processes its own clip (several: a cascade), and is () if a step
    builds on the previous one. ``mean_frames`` counts all frames read. ``timing`` contains None for values missing from
    the record.
    """

    label: str
    series: str
    dataset: str
    metric: str
    accuracy: float
    gflops_paper: float | None
    gmacs: float
    mean_frames: float
    exit_counts: tuple[int, ...]
    frame_counts: tuple[int, ...] = ()
    timing: Timing = field(default_factory=Timing)
    setting: Setting = field(default_factory=Setting)

    @property
    def mean_step(self) -> float:
        """Mean of the 1-based exit steps."""
        return sum(step * count for step, count in enumerate(self.exit_counts, start=1)) / sum(self.exit_counts)


def run_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the run folders denoted by ``paths``, without duplicates.

    A folder of runs at several frame counts (``frames_04``, ``frames_08``, ...) denotes all of them.
    """
    found = [run for path in paths for run in (variant_runs(path) or [path])]
    return list({run.resolve(): run for run in found}.values())


def operating_point(run: Path, name: str | None = None) -> OperatingPoint:
    """Read the operating point of the run folder ``run``.

    Args:
        run: folder written by ``vbench run``.
        name: name of its series, instead of the bundle's name.

    Raises:
        RunError: the folder or its ``run.json`` is missing, the record is invalid JSON or has an unknown schema
            version, the run did not finish, or it has no accuracy.
    """
    return point_of(read_run(run, finished=True), name)


def point_of(record: RunRecord, name: str | None = None) -> OperatingPoint:
    """Return the operating point of a finished run's record; see ``operating_point``."""
    metrics = record.object("metrics")
    engine, dataset = record.get("engine", str), record.get("dataset", str)
    bundle = record.object("bundle").get("name", str)
    setting = read_setting(record)
    frame_counts, exit_counts = _frame_counts(record), metrics.counts("exit_histogram")
    return OperatingPoint(
        label=str(record.content.get("policy_label") or record.run.resolve().name),
        series=", ".join((name or bundle, setting.engine_text(engine), dataset)),
        dataset=dataset,
        metric=_metric(metrics),
        accuracy=_accuracy(metrics),
        gflops_paper=metrics.number_or_none("gflops_paper"),
        gmacs=metrics.number("gmacs"),
        mean_frames=_mean_frames(metrics, frame_counts, exit_counts),
        exit_counts=exit_counts,
        frame_counts=frame_counts,
        timing=read_timing(metrics, steps=len(exit_counts)),
        setting=setting,
    )


def _accuracy(metrics: Entries) -> float:
    value = metrics.content.get("accuracy")
    if value is None or value != value:
        raise RunError(f"{metrics.run}: the run has no accuracy", "run it on a data set with labels")
    return metrics.number("accuracy")


def _metric(metrics: Entries) -> str:
    metric = metrics.content.get("metric")
    if not isinstance(metric, str) or metric not in METRICS:
        raise metrics.error(
            "metric", f"is the unknown metric {metric!r}", f"use a run with the metric {' or '.join(METRICS)}"
        )
    return metric


def _frame_counts(record: RunRecord) -> tuple[int, ...]:
    if record.content.get("step_frames") is None:
        return ()
    counts = record.counts("step_frames")
    if not any(counts):  # a single step may read no new frames
        raise record.error("step_frames", f"is {list(counts)}, which holds no frame counts")
    return counts


def _mean_frames(metrics: Entries, frame_counts: tuple[int, ...], exit_counts: tuple[int, ...]) -> float:
    """Return the mean number of frames read per video.

    A clip that exits at a step of a cascade has also read the frames of every earlier step.
    """
    if not frame_counts:
        return metrics.number("mean_frames")
    videos = sum(exit_counts)
    if not videos or len(frame_counts) != len(exit_counts):
        raise metrics.error("exit_histogram", "does not match the frame counts")
    return sum(count * frames for count, frames in zip(exit_counts, accumulate(frame_counts))) / videos
