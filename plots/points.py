"""What the figures are drawn from: the operating points of finished runs, and the published ones.

A figure needs seven numbers of a run and nothing else, so they are taken from its ``run.json`` once, checked here, and
no drawing code ever meets a half-written or foreign file. Published points are kept apart from measured ones: their
compute is the number that their authors print, not one counted here.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import RunError

SCHEMA_VERSION = 3
METRICS = {"top1": "top-1", "map": "mAP"}
# Giga multiply-accumulates per frame by which the authors multiply the mean number of frames (their README's script).
_PAPER_GMACS_PER_FRAME = {"ResNet-50": 4.12, "EfficientNet-B3": 1.8}
_PUBLISHED = Path(__file__).with_name("published_frameexit.csv")

_T = TypeVar("_T")


@dataclass(frozen=True)
class OperatingPoint:
    """One run: how right it was and what it cost. ``exit_counts`` holds the videos that left at each step, from step 1.

    ``accuracy`` is in percent; ``gflops_paper`` and ``gmacs`` are per video, in units of 1e9.
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


@dataclass(frozen=True)
class PublishedPoint:
    """One point of a published curve; ``accuracy`` in percent, ``gflops`` as printed (they are MACs, in 1e9)."""

    series: str
    backbone: str
    dataset: str
    metric: str
    accuracy: float
    gflops: float
    source: str

    @property
    def mean_frames(self) -> float:
        """Mean number of frames used, from the authors' fixed cost per frame."""
        return self.gflops / _PAPER_GMACS_PER_FRAME[self.backbone]


def published_points() -> tuple[PublishedPoint, ...]:
    """Return the ten points that FrameExit's README gives for plotting (six ResNet-50, four EfficientNet-B3)."""
    with _PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        PublishedPoint(
            series=row["series"],
            backbone=row["backbone"],
            dataset=row["dataset"],
            metric=row["metric"],
            accuracy=float(row["accuracy"]),
            gflops=float(row["gflops"]),
            source=row["source"],
        )
        for row in rows
    )


def operating_point(run: Path) -> OperatingPoint:
    """Read the operating point of the run folder ``run``.

    Raises:
        RunError: there is no such folder or no ``run.json`` in it, it is not JSON or of an unknown schema version, the
            run did not finish, or it has no accuracy.
    """
    record = _record(run)
    metrics: dict[str, object] = _get(run, record, "metrics", dict)
    bundle: dict[str, object] = _get(run, record, "bundle", dict)
    engine, dataset = (_get(run, record, key, str) for key in ("engine", "dataset"))
    return OperatingPoint(
        label=_policy_text(record.get("policy")) or run.resolve().name,
        series=", ".join((_get(run, bundle, "name", str), engine, dataset)),
        dataset=dataset,
        metric=_metric(run, metrics),
        accuracy=_accuracy(run, metrics),
        gflops_paper=None if metrics.get("gflops_paper") is None else _number(run, metrics, "gflops_paper"),
        gmacs=_number(run, metrics, "gmacs"),
        mean_frames=_number(run, metrics, "mean_frames"),
        exit_counts=_counts(run, metrics),
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


def _policy_text(policy: object) -> str:
    """Spell a policy briefly, such as ``frameexit first=0.95 gate=0.5``: titles have little room."""
    if not isinstance(policy, Mapping):
        return ""
    given = {key: value for key, value in policy.items() if value is not None and value != []}
    return " ".join(
        str(value) if key == "kind" else f"{key.removesuffix('s').removesuffix('_threshold')}={_brief(value)}"
        for key, value in given.items()
    )


def _brief(value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(entry, int | float) for entry in value):
        return str(value)
    low, high = min(value), max(value)
    return str(low) if low == high else f"{low}..{high}"
