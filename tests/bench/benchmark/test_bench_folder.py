from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benches import usual_bench
from vbench.bench.benchmark import bench_rows, read_bench
from vbench.bench.benchmark.bench_folder import BENCH_FILE, BenchFolder
from vbench.errors import RunError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written = BenchFolder(tmp_path / "bench")
    written.save(usual_bench())
    written.close()
    return tmp_path / "bench"


def test_rows_derived_from_the_folder_equal_those_in_memory(folder: Path) -> None:
    assert bench_rows(read_bench(folder)) == bench_rows(usual_bench())


def test_the_header_survives(folder: Path) -> None:
    assert read_bench(folder).header == usual_bench().header


def test_a_folder_without_a_benchmark_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no benchmark"):
        read_bench(tmp_path)


@pytest.mark.parametrize("name", ["turns.parquet", "videos.parquet"])
def test_a_damaged_or_missing_table_is_one_line(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"PAR1 cut short")
    with pytest.raises(RunError, match=name):
        read_bench(folder)
    (folder / name).unlink()
    with pytest.raises(RunError, match=name):
        read_bench(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("contenders", None), ("contenders", [{}]), ("clips", {}), ("options", {"slots": 1}), ("absent", [1])],
)
def test_a_damaged_record_is_one_line(folder: Path, key: str, value: object) -> None:
    path = folder / BENCH_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(RunError, match="damaged"):
        read_bench(folder)


def test_another_schema_version_is_one_line(folder: Path) -> None:
    path = folder / BENCH_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(RunError, match="schema version 99"):
        read_bench(folder)


def test_only_one_process_writes(folder: Path) -> None:
    first = BenchFolder(folder)
    with pytest.raises(RunError):
        BenchFolder(folder)
    first.close()
    BenchFolder(folder).close()
