"""What the figures are drawn from: the operating points of finished runs.

A figure needs a few numbers of a run and nothing else, so they are taken from its ``run.json`` once, checked here, and
no drawing code ever meets a half-written or foreign file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from ..errors import RunError
from .policies import FLEXIBLE_KINDS, policy_text

SCHEMA_VERSION = 3
METRICS = {"top1": "top-1", "map": "mAP"}

_T = TypeVar("_T")


@dataclass(frozen=True)
class OperatingPoint:
    """One run: how right it was and what it cost. ``exit_counts`` holds the videos that left at each step, from step 1.

    ``accuracy`` is in percent; ``gflops_paper`` and ``gmacs`` are per video, in units of 1e9. ``frame_counts`` are a
    frame-flexible network's, several for a cascade; ``mean_frames`` then is of all frames that were looked at.
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
    record = _record(run)
    metrics: dict[str, object] = _get(run, record, "metrics", dict)
    bundle: dict[str, object] = _get(run, record, "bundle", dict)
    engine, dataset = (_get(run, record, key, str) for key in ("engine", "dataset"))
    frame_counts, exit_counts = _frame_counts(run, record.get("policy")), _counts(run, metrics)
    return OperatingPoint(
        label=policy_text(record.get("policy")) or run.resolve().name,
        series=", ".join((name or _get(run, bundle, "name", str), engine, dataset)),
        dataset=dataset,
        metric=_metric(run, metrics),
        accuracy=_accuracy(run, metrics),
        gflops_paper=None if metrics.get("gflops_paper") is None else _number(run, metrics, "gflops_paper"),
        gmacs=_number(run, metrics, "gmacs"),
        mean_frames=_mean_frames(run, metrics, frame_counts, exit_counts),
        exit_counts=exit_counts,
        frame_counts=frame_counts,
    )


def _record(run: Path) -> Mapping[str, object]:
    if not run.is_dir():
        raise RunError(f"{run}: no such run folder", "give a folder that vbench run has written")
    record = _parse(run / "run.json")
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{run}: run.json has schema version {version}, known is {SCHEMA_VERSION}",
            "read it with the vbench that wrote it, or update vbench",
        )
    if record.get("complete") is not True:
        raise RunError(f"{run}: the run did not finish", "resume it before plotting it")
    return record


def _parse(path: Path) -> Mapping[str, object]:
    hint = "is this a folder that vbench run has written?"
    if not path.is_file():
        raise RunError(f"{path.parent}: no run.json in it", hint)
    try:
        record = json.loads(path.read_bytes())
    except ValueError as error:
        # UnicodeDecodeError is a ValueError as well, so that binary rubbish ends here too.
        raise RunError(f"{path}: not valid JSON ({error})", hint) from None
    if not isinstance(record, dict):
        raise RunError(f"{path}: holds a {type(record).__name__}, not an object", hint)
    return record


def _get(run: Path, record: Mapping[str, object], key: str, kind: type[_T]) -> _T:
    value = record.get(key)
    if not isinstance(value, kind):
        found = "missing" if key not in record else f"a {type(value).__name__}"
        raise RunError(f"{run}: run.json: {key!r} is {found}, not a {kind.__name__.lower()}", "run it again")
    return value


def _number(run: Path, metrics: Mapping[str, object], key: str) -> float:
    value = metrics.get(key)
    # bool is an int in Python, and JSON as Python writes it may hold NaN.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RunError(f"{run}: run.json: metrics.{key} is {value!r}, not a number", "run it again")
    return float(value)


def _accuracy(run: Path, metrics: Mapping[str, object]) -> float:
    value = metrics.get("accuracy")
    if value is None or value != value:
        raise RunError(f"{run}: the run has no accuracy", "run it on a data set with labels")
    return _number(run, metrics, "accuracy")


def _metric(run: Path, metrics: Mapping[str, object]) -> str:
    metric = metrics.get("metric")
    if not isinstance(metric, str) or metric not in METRICS:
        raise RunError(f"{run}: run.json: unknown metric {metric!r}", f"known are {' and '.join(METRICS)}")
    return metric


def _counts(run: Path, metrics: Mapping[str, object]) -> tuple[int, ...]:
    counts: list[object] = _get(run, metrics, "exit_histogram", list)
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
        return _number(run, metrics, "mean_frames")
    videos = sum(exit_counts)
    if not videos or len(frame_counts) != len(exit_counts):
        raise RunError(f"{run}: run.json: metrics.exit_histogram does not fit the frame counts", "run it again")
    return sum(count * frames for count, frames in zip(exit_counts, accumulate(frame_counts))) / videos
