"""LoadGen's logs: what is read from them, and logs that are incomplete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vbench.bench.benchmark.scenarios.loadgen_log import DETAIL, LoadGenRun, read_run
from vbench.bench.benchmark.scenarios.loadgen_settings import LoadGenTest
from vbench.errors import RunError

ENTRIES: dict[str, Any] = {
    "generated_samples_per_query": 1,
    "result_validity": "INVALID",
    "result_perf_constraints_met": True,
    "result_min_duration_met": True,
    "result_min_queries_met": True,
    "early_stopping_met": False,
    "early_stopping_result": " * Run unsuccessful.  * Processed 392 queries.\n",
    "result_query_count": 392,
    "result_overlatency_query_count": 3,
    "result_completed_samples_per_sec": 194.5,
    **{f"result_{each:.2f}_percentile_latency_ns": each * 1e6 for each in (50, 90, 95, 97, 99, 99.9)},
}


def read(folder: Path, fewest: int = 459, **changed: Any) -> LoadGenRun:
    lines = [f":::MLLOG {json.dumps({'key': key, 'value': value})}" for key, value in {**ENTRIES, **changed}.items()]
    (folder / DETAIL).write_text("\n".join(["another line", *lines]))
    return read_run(LoadGenTest("Server", {"server_target_qps": 200.0}, 4, str(folder)), 2, fewest)


def test_a_short_run_is_invalid_with_the_reason_although_the_bound_holds(tmp_path: Path) -> None:
    run = read(tmp_path, result_min_duration_met=False)
    assert not run.valid
    assert run.holds
    assert run.reasons == (
        "the run was shorter than LoadGen's minimum duration",
        "early stopping: Run unsuccessful. Processed 392 queries.",
    )
    assert (run.target_qps, run.queries, run.missed, run.rejected, run.samples_per_s) == (200.0, 392, 3, 2, 194.5)
    assert run.latencies_ms[99.0] == 99.0
    assert run.as_dict()["latencies_ms"]["p99.9"] == pytest.approx(99.9)
    assert json.loads(json.dumps(run.as_dict()))["folder"] == str(tmp_path)


def test_early_stopping_decides_if_there_are_enough_queries(tmp_path: Path) -> None:
    assert not read(tmp_path, fewest=392).holds
    assert read(tmp_path, fewest=392, early_stopping_met=True).holds
    assert not read(tmp_path, result_perf_constraints_met=False).holds


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "FileNotFoundError"),
        (':::MLLOG {"key": "a", "value": 1}', "KeyError('result_validity')"),
        (":::MLLOG {", "JSONDecodeError"),
        (":::MLLOG 1", "TypeError"),
    ],
)
def test_incomplete_logs(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / DETAIL).write_text(content)
    with pytest.raises(RunError) as caught:
        read_run(LoadGenTest("Server", {}, 4, str(tmp_path)), 0, 1)
    assert str(caught.value).startswith(f"LoadGen's log {tmp_path / DETAIL} is incomplete ({reason}")
