"""A benchmark's folder: ``bench.json``, and the raw samples as Parquet tables.

``turns.parquet`` has a row per contender and repetition, ``videos.parquet`` one per contender, repetition and video.
``warm_up_probabilities.parquet`` has the probabilities of the warm-up turn, where the metric needs all classes. The
folder is written after every repetition, each file atomically, so a benchmark that is killed keeps all its complete
repetitions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import RunError
from ...files import whole_file
from ...json_file import read_json
from ...runtime.telemetry.gpu_record import GpuRecord
from ...runtime.telemetry.host_record import HostRecord
from ..records.lock import RunLock
from ..records.parquet import read_table, write_table
from ..records.tables import prediction_table
from ..records.video_row import VideoRow
from .clips import ClipSet
from .contender import Contender
from .matrix import Absent
from .options import BenchOptions
from .results import Bench, BenchHeader, Check, ClipsInfo, ContenderResult
from .turn import Started, Turn

if TYPE_CHECKING:
    import polars

BENCH_FILE = "bench.json"
SCHEMA_VERSION = 1
_TURNS, _VIDEOS, _PROBABILITIES = "turns.parquet", "videos.parquet", "warm_up_probabilities.parquet"
_HINT = "repeat the benchmark"


class BenchFolder:
    """The folder of a running benchmark; only one process writes to it."""

    def __init__(self, path: Path) -> None:
        """Create the folder, or reopen it to resume the benchmark.

        Raises:
            RunError: another process writes to it.
            UsageError, MissingError: it is not writable.
        """
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = RunLock(path)

    def save(self, bench: Bench) -> None:
        """Write the benchmark; ``bench.json`` comes last, so it never describes turns that are not on disk.

        Raises:
            UsageError, MissingError: a file is not writable, or the disk is full.
        """
        write_table(self.path / _TURNS, _turn_table(bench))
        write_table(self.path / _VIDEOS, _video_table(bench))
        if bench.header.clips.metric == "map":
            write_table(self.path / _PROBABILITIES, _probability_table(bench))
        with whole_file(self.path / BENCH_FILE) as temporary:
            temporary.write_text(json.dumps(bench_record(bench), indent=1) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Release the folder, so that other processes can write to it."""
        self._lock.release(self.path)


def is_bench(folder: Path) -> bool:
    """Return whether a folder contains a benchmark, readable or not."""
    return (folder / BENCH_FILE).exists()


def read_bench(folder: Path) -> Bench:
    """Read a benchmark, complete or interrupted.

    Raises:
        RunError: the folder contains none, a file is damaged, or it has a different schema version.
    """
    path = folder / BENCH_FILE
    if not path.is_file():
        raise RunError(f"{folder} holds no benchmark", "pass a folder written by vbench bench")
    content = read_json(path, RunError, _HINT)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{path} has schema version {content.get('schema_version')}, expected {SCHEMA_VERSION}", _HINT)
    try:
        bench = _bench(content)
        _add_turns(bench, folder)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RunError(f"{folder} is damaged ({type(error).__name__}: {error})", _HINT) from None
    return bench


def bench_record(bench: Bench) -> dict[str, Any]:
    """Return everything but the turns as JSON: the contents of ``bench.json``."""
    header = bench.header
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": bench.complete,
        **{each.name: getattr(header, each.name) for each in fields(header)},
        "options": header.options.record(),
        "clip_set": header.clip_set.record(),
        "clips": asdict(header.clips),
        "absent": [one._asdict() for one in header.absent],
        "contenders": [_contender_record(one) for one in bench.results],
    }


def _contender_record(result: ContenderResult) -> dict[str, Any]:
    return {
        "contender": result.contender.record(),
        "started": None if result.started is None else asdict(result.started),
        "failure": result.failure,
        "checks": [asdict(check) for check in result.checks],
    }


def _bench(content: dict[str, Any]) -> Bench:
    clips = dict(content["clips"])
    categories = clips["categories"]
    own = {each.name: content[each.name] for each in fields(BenchHeader)}
    header = BenchHeader(
        **{
            **own,
            "options": BenchOptions.from_record(own["options"]),
            "clip_set": ClipSet.from_record(own["clip_set"]),
            "clips": ClipsInfo(**{**clips, "categories": None if categories is None else tuple(categories)}),
            "absent": tuple(Absent(**one) for one in own["absent"]),
        }
    )
    return Bench(header, [_contender_result(one) for one in content["contenders"]], content["complete"])


def _contender_result(record: dict[str, Any]) -> ContenderResult:
    started = None if record["started"] is None else Started(**record["started"])
    checks = [Check(**check) for check in record["checks"]]
    return ContenderResult(Contender.from_record(record["contender"]), started, record["failure"], {}, checks)


def _each_turn(bench: Bench) -> Iterator[tuple[str, int, Turn]]:
    for result in bench.results:
        for repetition, turn in sorted(result.turns.items()):
            yield result.contender.name, repetition, turn


def _turn_table(bench: Bench) -> polars.DataFrame:
    import polars

    schema = {
        "contender": polars.String(),
        "repetition": polars.Int32(),
        "seconds": polars.Float64(),
        "videos": polars.Int32(),
        "peak_memory_bytes": polars.Int64(),
        "host": polars.String(),
        "gpu": polars.String(),
    }
    rows = [
        (
            name,
            number,
            turn.seconds,
            len(turn.rows),
            turn.peak_memory_bytes,
            *map(json.dumps, turn.conditions().values()),
        )
        for name, number, turn in _each_turn(bench)
    ]
    return polars.DataFrame(rows, schema=schema, orient="row")


def _video_table(bench: Bench) -> polars.DataFrame:
    import polars

    turns = list(_each_turn(bench))
    table = prediction_table([row for _, _, turn in turns for row in turn.rows])
    return table.with_columns(
        polars.Series("contender", [name for name, _, turn in turns for _ in turn.rows], polars.String()),
        polars.Series("repetition", [number for _, number, turn in turns for _ in turn.rows], polars.Int32()),
        polars.Series("place", [place for _, _, turn in turns for place in turn.places], polars.Int32()),
    )


def _probability_table(bench: Bench) -> polars.DataFrame:
    import polars

    rows = [
        (one.contender.name, row.video, row.probabilities)
        for one in bench.results
        for row in one.first_rows().values()
        if row.probabilities is not None
    ]
    schema = {"contender": polars.String(), "video": polars.String(), "probabilities": polars.List(polars.Float32)}
    return polars.DataFrame([(*row[:2], row[2].tolist()) for row in rows], schema=schema, orient="row")


def _add_turns(bench: Bench, folder: Path) -> None:
    """Add the turns in the tables to the contenders."""
    results = {one.contender.name: one for one in bench.results}
    videos = _rows_by_turn(folder)
    for row in read_table(folder / _TURNS, _HINT).iter_rows(named=True):
        key = row["contender"], row["repetition"]
        host, gpu = json.loads(row["host"]), json.loads(row["gpu"])
        turn = Turn(
            tuple(found for found, _ in videos[key]),
            tuple(place for _, place in videos[key]),
            row["seconds"],
            None if host is None else HostRecord.from_dict(host),
            None if gpu is None else GpuRecord.from_dict(gpu),
            row["peak_memory_bytes"],
        )
        results[row["contender"]].turns[row["repetition"]] = turn
    if bench.header.clips.metric == "map":
        _add_probabilities(results, folder)


def _rows_by_turn(folder: Path) -> dict[tuple[str, int], list[tuple[VideoRow, int]]]:
    found: dict[tuple[str, int], list[tuple[VideoRow, int]]] = {}
    names = {each.name for each in fields(VideoRow)}
    for row in read_table(folder / _VIDEOS, _HINT).iter_rows(named=True):
        values = {name: _plain(value) for name, value in row.items() if name in names}
        found.setdefault((row["contender"], row["repetition"]), []).append((VideoRow(**values), row["place"]))
    return found


def _add_probabilities(results: dict[str, ContenderResult], folder: Path) -> None:
    table = read_table(folder / _PROBABILITIES, _HINT)
    found = {(row[0], row[1]): np.array(row[2], np.float32) for row in table.iter_rows()}
    for name, result in results.items():
        for number in sorted(result.turns)[:1]:
            turn = result.turns[number]
            rows = tuple(replace(row, probabilities=found.get((name, row.video))) for row in turn.rows)
            result.turns[number] = replace(turn, rows=rows)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
