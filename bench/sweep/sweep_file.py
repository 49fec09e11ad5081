"""Sweep files: a Parquet table of operating points, with the replayed traces described in its metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...errors import RunError, UsageError
from ...json_file import JsonError, first_problem, parse_json
from ...runtime.policies.base import record_label
from ..records.parquet import read_metadata, read_table, write_table
from ..records.table_check import Column, check_table
from ..stats.intervals import LEVEL, Interval
from .operating_points import Point, ReplaySource

SCHEMA_VERSION = 1
SWEEP = "sweep.parquet"
_METADATA = "vbench.sweep"
_AGAIN = "create it again with vbench sweep"
_COLUMNS = {
    **dict.fromkeys(("run", "bundle", "family", "policy"), Column("text")),
    **dict.fromkeys(("accuracy", "low", "high"), Column("number", null=True, most=100)),
    "gflops_paper": Column("number", null=True),
    **dict.fromkeys(("gmacs", "mean_frames", "latency_ms", "videos_per_s"), Column("number")),
    "exits": Column("integers"),
    **dict.fromkeys(("searched", "runnable", "pareto"), Column("truth")),
}


@dataclass(frozen=True)
class Sweep:
    """Operating points and the traces they were replayed on.

    Attributes:
        videos: number of videos in the trace of each run.
        times_from: for each run, the run in which its step times were measured.
        engines: engine by run.
    """

    dataset: str
    metric: str
    videos: dict[str, int]
    engines: dict[str, str]
    times_from: dict[str, str]
    points: tuple[Point, ...]

    def with_points(self, points: tuple[Point, ...]) -> Sweep:
        """Return the sweep with other points."""
        return replace(self, points=points)


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
    """Read a sweep from a file, or from the run folder that contains one.

    Raises:
        RunError: it is missing or damaged, or has a different schema version.
    """
    file = path / SWEEP if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{file} does not exist", f"pass a run folder with a sweep, or a {SWEEP}")
    table = read_table(file, _AGAIN)
    try:
        about = parse_json(read_metadata(file, _METADATA, _AGAIN))
    except JsonError:
        about = None
    if not isinstance(about, dict) or about.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{file} is not a sweep of schema version {SCHEMA_VERSION}", _AGAIN)
    check_table(file, "sweep", table, _COLUMNS, _AGAIN)
    try:
        points = tuple(map(_point, table.to_dicts()))
        return TypeAdapter(Sweep).validate_python({**about, "points": ()}).with_points(points)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise RunError(f"{file} is not a valid sweep: {place}: {problem.lower()}", _AGAIN) from None
    except (KeyError, TypeError, ValueError, AttributeError, UsageError):
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
    policy = parse_json(row["policy"])
    if not isinstance(policy, dict):
        raise TypeError("a policy is not an object")
    # sweeps from earlier versions have no labels
    label = row.pop("policy_label", None) or record_label(policy)
    return Point(**{**row, "policy": policy, "exits": tuple(row["exits"])}, policy_label=label, interval=interval)
