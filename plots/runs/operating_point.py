"""What the figures are drawn from: the operating points of finished runs.

A figure needs a few numbers of a run and nothing else, so they are taken from its ``run.json`` once, checked here, and
no drawing code ever meets a half-written or foreign file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from ...errors import RunError
from .labels import FLEXIBLE_KINDS, policy_text
from .run_json import get, number, number_or_none, read_record
from .timing import Setting, Timing, read_setting, read_timing

METRICS = {"top1": "top-1", "map": "mAP"}


@dataclass(frozen=True)
class OperatingPoint:
    """One run: how right it was and what it cost. ``exit_counts`` holds the videos that left at each step, from step 1.

    ``accuracy`` is in percent; ``gflops_paper`` and ``gmacs`` are per video, in units of 1e9. ``frame_counts`` are a
    frame-flexible network's, several for a cascade; ``mean_frames`` then is of all frames that were looked at.
    ``timing`` holds None for what the run does not say.
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
        """Mean step at which a video left, from 1."""
        return sum(step * count for step, count in enumerate(self.exit_counts, start=1)) / sum(self.exit_counts)


def run_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the run folders that ``paths`` stand for, each once.

    A folder of runs at several frame counts (``frames_04``, ``frames_08``, ...) stands for all of them.
    """
    found = [run for path in paths for run in (_at_counts(path) or [path])]
    return list({run.resolve(): run for run in found}.values())


def _at_counts(path: Path) -> list[Path]:
    if (path / "run.json").exists():
        return []
    return sorted(run.parent for run in path.glob("frames_*/run.json"))


def operating_point(run: Path, name: str | None = None) -> OperatingPoint:
    """Read the operating point of the run folder ``run``.

    Args:
        run: what ``vbench run`` has written.
        name: what its series is called instead of its bundle's name.

    Raises:
        RunError: there is no such folder or no ``run.json`` in it, it is not JSON or of an unknown schema version, the
            run did not finish, or it has no accuracy.
    """
    record = read_record(run)
    metrics: dict[str, object] = get(run, record, "metrics", dict)
    bundle: dict[str, object] = get(run, record, "bundle", dict)
    engine, dataset = (get(run, record, key, str) for key in ("engine", "dataset"))
    setting = read_setting(record)
    frame_counts, exit_counts = _frame_counts(run, record.get("policy")), _counts(run, metrics)
    return OperatingPoint(
        label=policy_text(record.get("policy")) or run.resolve().name,
        series=", ".join((name or get(run, bundle, "name", str), setting.engine_text(engine), dataset)),
        dataset=dataset,
        metric=_metric(run, metrics),
        accuracy=_accuracy(run, metrics),
        gflops_paper=number_or_none(run, metrics, "gflops_paper"),
        gmacs=number(run, metrics, "gmacs"),
        mean_frames=_mean_frames(run, metrics, frame_counts, exit_counts),
        exit_counts=exit_counts,
        frame_counts=frame_counts,
        timing=read_timing(run, metrics, steps=len(exit_counts)),
        setting=setting,
    )


def _accuracy(run: Path, metrics: Mapping[str, object]) -> float:
    value = metrics.get("accuracy")
    if value is None or value != value:
        raise RunError(f"{run}: the run has no accuracy", "run it on a data set with labels")
    return number(run, metrics, "accuracy")


def _metric(run: Path, metrics: Mapping[str, object]) -> str:
    metric = metrics.get("metric")
    if not isinstance(metric, str) or metric not in METRICS:
        raise RunError(f"{run}: run.json: unknown metric {metric!r}", f"known are {' and '.join(METRICS)}")
    return metric


def _counts(run: Path, metrics: Mapping[str, object]) -> tuple[int, ...]:
    counts: list[object] = get(run, metrics, "exit_histogram", list)
    whole = tuple(count for count in counts if isinstance(count, int) and not isinstance(count, bool) and count >= 0)
    if len(whole) != len(counts):
        raise RunError(f"{run}: run.json: metrics.exit_histogram holds something else than counts", "run it again")
    return whole


def _frame_counts(run: Path, policy: object) -> tuple[int, ...]:
    """Return the frame counts of a frame-flexible network, () for another."""
    if not isinstance(policy, Mapping) or policy.get("kind") not in FLEXIBLE_KINDS:
        return ()
    given = policy.get("counts") if policy["kind"] == "cascade" else [policy.get("frames")]
    if not isinstance(given, list) or not given or not all(type(count) is int and count > 0 for count in given):
        raise RunError(f"{run}: run.json: policy {dict(policy)} holds no frame counts", "run it again")
    return tuple(given)


def _mean_frames(
    run: Path, metrics: Mapping[str, object], frame_counts: tuple[int, ...], exit_counts: tuple[int, ...]
) -> float:
    """Return the mean of all frames that were looked at: a cascade that goes on has seen those of every count before.

    A frame-flexible network's is taken from the exits, because the record's own mean is one of steps.
    """
    if not frame_counts:
        return number(run, metrics, "mean_frames")
    videos = sum(exit_counts)
    if not videos or len(frame_counts) != len(exit_counts):
        raise RunError(f"{run}: run.json: metrics.exit_histogram does not fit the frame counts", "run it again")
    return sum(count * frames for count, frames in zip(exit_counts, accumulate(frame_counts))) / videos
