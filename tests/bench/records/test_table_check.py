"""Tables and journal lines that break the schema of their format are one error."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from vbench.bench.records import journal
from vbench.bench.records.row_check import answers_problem, row_problem
from vbench.bench.records.table_check import Column, check_table
from vbench.bench.records.tables import PREDICTIONS, read_predictions, write_tables
from vbench.bench.records.video_row import VideoRow
from vbench.errors import RunError
from vbench.runtime.scheduler.results import Step

ROW = VideoRow(
    video="a",
    label=(1,),
    prediction=1,
    probability=0.5,
    exit_step=1,
    frames_used=1,
    scores=(0.5,),
    gmacs=1.0,
    latency_ms=1.0,
    probabilities=np.array([0.5, 0.5], np.float32),
)


@pytest.mark.parametrize(
    ("column", "cells", "problem"),
    [
        (Column("text"), [1], "holds Int64, expected text"),
        (Column("text"), ["a", None], "has an empty cell"),
        (Column("text", unique=True), ["a", "b", "a"], "holds 'a' twice"),
        (Column("truth"), ["yes"], "holds String, expected truth"),
        (Column("integer"), [1.5], "holds Float64, expected integer"),
        (Column("integer"), [3, -1], "holds -1, less than 0"),
        (Column("integer", most=4), [3, 5], "holds 5, more than 4"),
        (Column("number"), [1.0, math.nan], "not finite"),
        (Column("number", nan=True), [1.0, math.inf], "not finite"),
        (Column("integers"), [1], "holds Int64, expected integers"),
        (Column("integers"), [["a"]], "expected integers"),
        (Column("integers"), [[1], [None]], "holds a list with an empty cell"),
        (Column("integers", most=1), [[0], [], [2]], "holds 2, more than 1"),
        (Column("numbers"), [[0.5, math.nan]], "not finite"),
        (Column("text"), [{"a": 1}], "expected text"),
    ],
)
def test_columns(column: Column, cells: list[Any], problem: str) -> None:
    table = polars.DataFrame({"name": polars.Series(cells, strict=False)})
    with pytest.raises(RunError, match="file is not a valid table: column name .*" + problem):
        check_table(Path("file"), "table", table, {"name": column}, "run it again")


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (Column("number", nan=True, null=True), [1, None, math.nan]),
        (Column("integers", null=True), [[1], None, []]),
        (Column("integers", null=True), [None, None]),
        (Column("number", least=None), [-1.0]),
        (Column("number", most=1), [0.0, 1.0]),
    ],
)
def test_valid_columns(column: Column, cells: list[Any]) -> None:
    check_table(Path("file"), "table", polars.DataFrame({"name": cells}, strict=False), {"name": column}, "")


def test_empty_tables_and_missing_columns() -> None:
    with pytest.raises(RunError, match="it has no rows"):
        check_table(Path("file"), "table", polars.DataFrame({"a": []}), {}, "run it again")
    with pytest.raises(RunError, match="column b is missing"):
        check_table(Path("file"), "table", polars.DataFrame({"a": [1]}), {"b": Column("text")}, "run it again")


@pytest.mark.parametrize(
    "change",
    [
        {"exit_step": "first"},
        {"exit_step": 0},
        {"video": 3},
        {"prediction": -1},
        {"latency_ms": math.inf},
        {"label": [["a"]]},
        {"video": None},
    ],
)
def test_a_damaged_table_of_predictions(change: dict[str, Any], tmp_path: Path) -> None:
    write_tables(tmp_path, [ROW])
    assert len(read_predictions(tmp_path)) == 1
    table = polars.read_parquet(tmp_path / PREDICTIONS)
    columns = [polars.Series(name, [value] if name != "label" else value) for name, value in change.items()]
    table.with_columns(columns).write_parquet(tmp_path / PREDICTIONS)
    with pytest.raises(RunError, match=f"{PREDICTIONS} is not a valid table of predictions: column {min(change)} "):
        read_predictions(tmp_path)


@pytest.mark.parametrize("cut", [0, 3, 4, 100, -1])
def test_a_truncated_table(cut: int, tmp_path: Path) -> None:
    write_tables(tmp_path, [ROW])
    path = tmp_path / PREDICTIONS
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RunError, match="is not readable as Parquet"):
        read_predictions(tmp_path)


BAD: list[dict[str, Any]] = [
    {"video": 3},
    {"video": None},
    {"label": (4000,)},
    {"prediction": 2},
    {"gmacs": math.inf},
    {"probability": None},
    {"probability": math.nan},
    {"probability": 1e300},
    {"scores": (math.nan,)},
    {"label": (1.5,)},
    {"label": (-1,)},
    {"label": 3},
    {"prediction": True},
    {"prediction": 2**40},
    {"prediction": None},
    {"exit_step": -1},
    {"frames_read": None},
    {"gmacs": "3"},
    {"decode_ms": -1.0},
    {"scores": ("a",)},
    {"error": 5},
    {"steps": ((1, 2, 3, 4, 5),)},
    {"steps": (Step(0.5, None, None, -1.0, 1.0),)},
    {"steps": (Step("x", None, None, 1.0, 1.0),)},  # type: ignore[arg-type]
    {"probabilities": "none"},
    {"probabilities": None},
    {"probabilities": np.zeros((0,), np.float32)},
    {"probabilities": np.array([0.5, math.nan], np.float32)},
]


def test_answers_that_a_run_cannot_continue() -> None:
    other = replace(ROW, probabilities=np.full(3, 1 / 3, np.float32))
    assert not answers_problem([ROW, ROW, VideoRow(video="b", label=None, error="no frames")])
    assert answers_problem([ROW, other]) == "its predictions have different numbers of classes"


@pytest.mark.parametrize("change", BAD)
def test_a_damaged_row(change: dict[str, Any]) -> None:
    assert not row_problem(ROW)
    assert row_problem(replace(ROW, **change))


def test_every_field_of_a_row_has_a_check() -> None:
    assert not row_problem(VideoRow(video="a", label=None, error="no frames"))
    steps = (Step(None, np.zeros(2, np.float32), 0.5, 0.1, 0.2), Step(0.5, None, None, 0, 0))
    assert not row_problem(replace(ROW, steps=steps))


@pytest.mark.parametrize(
    "line", [b"[" * 50_000, b"{}", b'{"video": 3}', b"\xff\xfe", b"null", b'"text"', b'{"video": "a", "video": "b"}']
)
def test_a_damaged_line_of_a_journal(line: bytes, tmp_path: Path) -> None:
    journal.append(tmp_path, ROW)
    (path,) = tmp_path.iterdir()
    assert len(list(journal.read(tmp_path))) == 1
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(RunError, match="line 2 is damaged"):
        list(journal.read(tmp_path))


def test_a_file_on_which_polars_panics_is_one_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Some damage makes polars panic, and Rust print a backtrace."""
    write_tables(tmp_path, [ROW])
    path = tmp_path / PREDICTIONS
    whole, chance = path.read_bytes(), random.Random(13)
    errors = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(4):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            read_predictions(tmp_path)
        except RunError:
            errors += 1
    assert errors > 50
    assert capfd.readouterr().err == ""
