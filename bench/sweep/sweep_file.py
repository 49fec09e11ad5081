"""Sweep files: a Parquet table of operating points, with the replayed traces described in its metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...runtime.policies.base import record_label
from ..records.parquet import parquet_source, write_table
from ..stats.bootstrap import LEVEL, Interval
from .operating_points import Point, ReplaySource

SCHEMA_VERSION = 1
SWEEP = "sweep.parquet"
_METADATA = "vbench.sweep"
_AGAIN = "create it again with vbench sweep"


@dataclass(frozen=True)
class Sweep:
    """Operating points and the traces they were replayed on.

    Attributes:
        videos: number of videos in the trace of each run.
        times_from: run in which the step times were measured, by run.
        engines: engine by run.
    """

    dataset: str
    metric: str
    videos: dict[str, int]
    engines: dict[str, str]
    times_from: dict[str, str]
    points: tuple[Point, ...]


def make_sweep(sources: Sequence[ReplaySource], points: Sequence[Point]) -> Sweep:
    """Combine points with a description of their traces."""
    header = sources[0].trace.header
    return Sweep(
        dataset=header.dataset,
        metric=header.metric,
        videos={source.run: len(source.trace.videos) for source in sources},
        engines={source.run: source.trace.header.engine for source in sources},
        times_from={source.run: source.times.source for source in sources},
        points=tuple(points),
    )


def write_sweep(path: Path, sweep: Sweep) -> None:
    """Write the sweep atomically.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    import polars

    rows = [_row(point) for point in sweep.points]
    about = {name: value for name, value in vars(sweep).items() if name != "points"}
    metadata = json.dumps({"schema_version": SCHEMA_VERSION, "level": LEVEL, **about})
    write_table(path, polars.DataFrame(rows, schema=_schema()), {_METADATA: metadata})


def read_sweep(path: Path) -> Sweep:
    """Read a sweep from a file, or from the run folder that holds one.

    Raises:
        RunError: it is missing, damaged or of another schema version.
    """
    import polars

    file = path / SWEEP if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{file} does not exist", f"pass a run folder with a sweep, or a {SWEEP}")
    try:
        about = json.loads(polars.read_parquet_metadata(parquet_source(file)).get(_METADATA, "null"))
        rows = polars.read_parquet(parquet_source(file), glob=False).to_dicts()
    except (OSError, ValueError, polars.exceptions.PolarsError):
        raise RunError(f"{file} is not readable as Parquet", _AGAIN) from None
    if not isinstance(about, dict) or about.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{file} is not a sweep of schema version {SCHEMA_VERSION}", _AGAIN)
    try:
        known = {name: about[name] for name in Sweep.__dataclass_fields__ if name != "points"}
        return Sweep(**known, points=tuple(map(_point, rows)))
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{file} is damaged", _AGAIN) from None


def _schema() -> dict[str, Any]:
    import polars

    words, truths = ("run", "bundle", "family", "policy", "policy_label"), ("searched", "runnable", "pareto")
    numbers = ("accuracy", "low", "high", "gflops_paper", "gmacs", "mean_frames", "latency_ms", "videos_per_s")
    return {
        **dict.fromkeys(words, polars.String()),
        **dict.fromkeys(numbers, polars.Float64()),
        "exits": polars.List(polars.Int64),
        **dict.fromkeys(truths, polars.Boolean()),
    }


def _row(point: Point) -> dict[str, Any]:
    row = asdict(point)
    low, high = row.pop("interval") or (None, None)
    return {**row, "policy": json.dumps(point.policy), "low": low, "high": high}


def _point(row: dict[str, Any]) -> Point:
    low, high = row.pop("low"), row.pop("high")
    interval = None if low is None else Interval(low, high)
    policy = json.loads(row["policy"])
    # sweeps of earlier versions have no labels
    label = row.pop("policy_label", None) or record_label(policy)
    return Point(**{**row, "policy": policy, "exits": tuple(row["exits"])}, policy_label=label, interval=interval)
