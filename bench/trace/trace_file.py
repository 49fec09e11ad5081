"""Trace files: one Parquet table with a row per video and step.

The trace header is in the table's metadata, which makes the file self-contained; ``docs/trace.md`` documents the format
for readers in any language.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ...errors import RunError
from ...json_file import JsonError, first_problem, parse_json
from ...runtime.policies.confidence import confidence_and_entropy, probabilities_of
from ...text import printable
from ..records.parquet import count_rows, read_groups, read_metadata, read_table, write_groups, write_table
from ..records.stored_scores import IN_MEMORY, ScoreFile, StoredScores
from ..records.table_check import Column, check_table
from ..records.video_row import VideoRow
from .trace import OLDEST_MIGRATED, SCHEMA_VERSION, Trace, TraceHeader

if TYPE_CHECKING:
    import polars

TRACE = "trace.parquet"
_METADATA = "vbench.trace"
_AGAIN = "record it again with vbench run --trace"
_IN_MEMORY = 128_000_000  # maximum number of logits in a trace that is read into memory: 0.5 GB
_GROUP_CELLS = 2_000_000  # logits in a row group: 8 MB


def write_trace(folder: Path, rows: Sequence[VideoRow], header: TraceHeader) -> None:
    """Write the trace of a run that recorded all steps, atomically.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    answered = sum(row.error is None for row in rows)
    header = replace(header, errors=len(rows) - answered)
    steps = len(header.costs.macs)
    if answered * steps * header.classes <= IN_MEMORY:
        write_trace_table(folder / TRACE, _table([row for row in rows if row.error is None], header), header)
        return
    videos = max(1, _GROUP_CELLS // (steps * header.classes))

    def pieces() -> Iterator[polars.DataFrame]:
        group: list[VideoRow] = []
        for row in rows:
            group += [row] if row.error is None else []
            if len(group) == videos:
                yield _table(group, header)
                group = []
        if group:
            yield _table(group, header)

    metadata = {_METADATA: json.dumps(header.record())}
    write_groups(folder / TRACE, _table([], header).schema, pieces, videos * steps, metadata)


def write_trace_table(path: Path, table: polars.DataFrame, header: TraceHeader) -> None:
    """Write the table of a trace atomically.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    write_table(path, table, {_METADATA: json.dumps(header.record())})


def _table(rows: Sequence[VideoRow], header: TraceHeader) -> polars.DataFrame:
    import polars

    steps = [step for row in rows for step in row.steps]
    logits = np.array([step.logits for step in steps], np.float32).reshape(-1, header.classes)
    certainty = [confidence_and_entropy(each, header.output) for each in logits]
    columns = {
        "video": ([row.video for row in rows for _ in row.steps], polars.String()),
        "label": ([row.label for row in rows for _ in row.steps], polars.List(polars.Int32)),
        "step": ([place for row in rows for place in range(1, len(row.steps) + 1)], polars.Int32()),
        "gate": ([step.gate for step in steps], polars.Float64()),
        "prediction": (logits.argmax(axis=1), polars.Int32()),
        "confidence": ([confidence for confidence, _ in certainty], polars.Float64()),
        "entropy": ([entropy for _, entropy in certainty], polars.Float64()),
        "logits": (logits, polars.Array(polars.Float32, header.classes)),
        "elapsed_ms": ([1e3 * step.elapsed_s for step in steps], polars.Float64()),
        "latency_ms": ([1e3 * step.latency_s for step in steps], polars.Float64()),
    }
    for name in _other_sets(header):
        columns[gate_column(name)] = ([(step.other_gates or {}).get(name) for step in steps], polars.Float64())
    return polars.DataFrame([polars.Series(name, values, dtype) for name, (values, dtype) in columns.items()])


def gate_column(gate_set: str) -> str:
    """Return the column with the gate values of a set that is not the default one."""
    return f"gate_{gate_set}"


def _other_sets(header: TraceHeader) -> list[str]:
    return [name for name in header.gate_sets if name != header.default_policy.get("gate_set")]


def read_trace(run: Path) -> Trace:
    """Read the trace of a run folder.

    Raises:
        RunError: the trace is missing, damaged or empty, or has a different schema version.
    """
    import polars

    path = run / TRACE
    if not path.is_file():
        raise RunError(f"{run} has no trace", _AGAIN)
    header = parse_header(path, read_header_content(path))
    rows, stored = count_rows(path, _AGAIN), None
    if not rows:
        raise RunError(f"{path} contains no videos", "record a run over decodable videos")
    columns = _columns(header)
    if rows * header.classes > _IN_MEMORY:
        stored, table = _read_stored(path, header)
        columns.pop("logits")
    else:
        table = read_table(path, _AGAIN)
    check_table(path, "trace", table, columns, _AGAIN)
    try:
        return _trace(table, header, stored)
    except (polars.exceptions.PolarsError, ValueError, IndexError, TypeError) as error:
        raise RunError(f"{path} is damaged ({printable(str(error))[:80]})", _AGAIN) from None


def read_header_content(path: Path) -> dict[str, Any]:
    """Return the header of the trace file ``path`` as JSON, whatever its schema version.

    Raises:
        RunError: the file is not Parquet, or not a trace.
    """
    try:
        content = parse_json(read_metadata(path, _METADATA, _AGAIN))
    except JsonError:
        content = None
    if not isinstance(content, dict) or "schema_version" not in content:
        raise RunError(f"{path} is not a vbench trace", _AGAIN)
    return content


def read_trace_table(path: Path) -> polars.DataFrame:
    """Return the table of the trace file ``path``, which is the same in all schema versions.

    Raises:
        RunError: the file is not readable.
    """
    return read_table(path, _AGAIN)


def parse_header(path: Path, content: Mapping[str, Any]) -> TraceHeader:
    """Validate the header of the trace file ``path``.

    Raises:
        RunError: it is not a header of the current schema version.
    """
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise RunError(f"{path} has schema version {version}, expected {SCHEMA_VERSION}", _remedy(path, version))
    try:
        header = TypeAdapter(TraceHeader).validate_python(content)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise RunError(f"{path} is not a valid trace: header: {place}: {problem.lower()}", _AGAIN) from None
    if problem := _costs_problem(header):
        raise RunError(f"{path} is not a valid trace: header: {problem}", _AGAIN)
    return header


def _costs_problem(header: TraceHeader) -> str:
    """Return the problem with the numbers in a header, or "" if they are valid."""
    costs = header.costs
    values = (costs.frames, costs.macs, costs.gate_macs, costs.classifier_macs)
    if len({len(each) for each in values}) != 1 or not costs.frames:
        return "costs has lists of different lengths"
    if min(map(min, values)) < 0 or costs.clips < 1:
        return "costs has a negative value"
    if not any(costs.frames):  # a later step may read no frames of its own
        return "costs has no frames"
    if header.categories is not None and len(header.categories) != header.classes:
        return "categories does not have one entry per class"
    return "" if header.classes >= 1 and header.errors >= 0 else "classes and errors are not counts"


def _columns(header: TraceHeader) -> dict[str, Column]:
    """Return the schema of a trace's table; gate values are null or NaN for steps that have no gate."""
    last = header.classes - 1
    return {
        "video": Column("text"),
        "label": Column("integers", null=True, most=last),
        "step": Column("integer", least=1, most=len(header.costs.macs)),
        "gate": Column("number", null=True, least=None, nan=True),
        "prediction": Column("integer", most=last),
        "confidence": Column("number", most=1.001),
        "entropy": Column("number", least=-0.001),
        "logits": Column("numbers", least=None),
        "elapsed_ms": Column("number"),
        "latency_ms": Column("number"),
        **{gate_column(name): Column("number", null=True, least=None, nan=True) for name in _other_sets(header)},
    }


def _remedy(path: Path, version: object) -> str:
    if isinstance(version, int) and OLDEST_MIGRATED <= version < SCHEMA_VERSION:
        return f"run vbench migrate {path}"
    return "update vbench" if isinstance(version, int) and version > SCHEMA_VERSION else _AGAIN


def _read_stored(path: Path, header: TraceHeader) -> tuple[StoredScores, polars.DataFrame]:
    """Return the columns of a large trace; the probabilities of all rows are stored in a file instead of memory."""
    import polars

    file, others = ScoreFile(header.classes), []
    for table in read_groups(path, max(1, _GROUP_CELLS // header.classes), _AGAIN):
        check_table(path, "trace", table, _columns(header), _AGAIN)
        logits = table["logits"].to_numpy()
        if logits.shape[1:] != (header.classes,):
            raise RunError(f"{path} does not hold {header.classes} logits for every step", _AGAIN)
        file.append(probabilities_of(logits, header.output))
        others.append(table.drop("logits"))
    table = polars.concat(others)
    return StoredScores(file, np.arange(len(table))), table


def _trace(table: polars.DataFrame, header: TraceHeader, stored: StoredScores | None) -> Trace:
    steps = len(header.costs.macs)
    videos = table["video"].gather_every(steps).to_list()

    def grid(column: str) -> NDArray[Any]:
        values = table[column].to_numpy()
        return np.ascontiguousarray(np.moveaxis(values.reshape(len(videos), steps, *values.shape[1:]), 1, 0))

    if len(table) != len(videos) * steps or not (grid("step") == np.arange(1, steps + 1)[:, None]).all():
        raise ValueError("steps are missing")
    if len(set(videos)) != len(videos) or not (grid("video") == np.array(videos, object)).all():
        raise ValueError("a video has missing or repeated steps")
    labels = table["label"].gather_every(steps).to_list()
    logits = np.empty((steps, len(videos), 0), np.float32) if stored else grid("logits")
    if not stored and logits.shape[2:] != (header.classes,):
        raise ValueError("the number of logits differs from the number of classes")
    return Trace(
        header=header,
        videos=tuple(videos),
        labels=tuple(None if label is None else tuple(label) for label in labels),
        gates=grid("gate").astype(np.float64),
        confidences=grid("confidence"),
        entropies=grid("entropy"),
        predictions=grid("prediction").astype(np.int64),
        logits=logits,
        elapsed_ms=grid("elapsed_ms"),
        latency_ms=grid("latency_ms"),
        other_gates={name: grid(gate_column(name)).astype(np.float64) for name in _other_sets(header)},
        stored=stored,
    )
