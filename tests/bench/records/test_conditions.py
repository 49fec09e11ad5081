"""Conditions of a run: the verdict, its record and its text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compared_runs import BUSY, IDLE, make_run, row
from vbench.bench.records.conditions import Conditions, conditions, conditions_text, read_conditions
from vbench.bench.records.run_file import RUN_FILE, read_run
from vbench.errors import RunError
from vbench.runtime.telemetry.gpu_record import GpuRecord, Share
from vbench.runtime.telemetry.host_record import HostRecord

OTHERS = "other processes used 0.92 of 2 CPUs, limit 0.20"
GPU = GpuRecord("GPU", 9, 1, None, None, None, None, None, None, (Share("sw_power_cap", 0.3),), None, None, 1, None)
POWER_CAP = "the GPU was throttled by power cap in 30.0 % of samples, limit 5 %"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [row(0), row(1)], host=BUSY)


def test_verdicts() -> None:
    assert conditions(IDLE, None, 3) == Conditions("VALID", (), 3, 0.01)
    assert conditions(BUSY, None, 3) == Conditions("UNSTABLE", (OTHERS,), 3, 0.46)
    assert conditions(BUSY, GPU, 3) == Conditions("UNSTABLE", (OTHERS, POWER_CAP), 3, 0.46)
    assert conditions(None, GPU, 3) == Conditions("UNSTABLE", (POWER_CAP,), 3)


@pytest.mark.parametrize("gpu", [None, replace(GPU, throttled=())])
@pytest.mark.parametrize("host", [None, replace(IDLE, other_cpus=None)])
def test_a_machine_whose_load_is_unknown_is_not_valid(host: HostRecord | None, gpu: GpuRecord | None) -> None:
    assert conditions(host, gpu, 3) is None


def test_text() -> None:
    assert conditions_text(Conditions("VALID", (), 8), 8) == "VALID"
    assert conditions_text(Conditions("UNSTABLE", ("a", "b"), 8), 8) == "UNSTABLE: a; b"
    resumed = conditions_text(Conditions("VALID", (), 3), 8)
    assert resumed == "VALID (known for 3 of 8 videos, since it was resumed)"


def test_a_run_records_them_and_the_load(run: Path) -> None:
    metrics = json.loads((run / RUN_FILE).read_text())["metrics"]
    assert metrics["host"] == BUSY.as_dict()
    assert read_conditions(read_run(run)) == conditions(BUSY, None, 2)


def test_runs_without_them(run: Path, tmp_path: Path) -> None:
    assert read_conditions(read_run(make_run(tmp_path / "old", [row(0)]))) is None
    change(run, None)
    assert read_conditions(read_run(run)) is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (3, "metrics.conditions is an integer, not an object"),
        ({}, "metrics.conditions.verdict is missing, not a string"),
        ({"verdict": "FINE"}, "metrics.conditions.verdict is 'FINE', not VALID or UNSTABLE"),
        ({"verdict": "INVALID"}, "metrics.conditions.verdict is 'INVALID', not VALID or UNSTABLE"),
        ({"verdict": "VALID"}, "metrics.conditions.reasons is missing, not a list"),
        ({"verdict": "VALID", "reasons": [], "videos": "2"}, "metrics.conditions.videos is a string, not an integer"),
        (
            {"verdict": "VALID", "reasons": [], "videos": 2, "other_share": "0"},
            "metrics.conditions.other_share is '0', not a number",
        ),
    ],
)
def test_damaged_conditions(run: Path, entry: Any, words: str) -> None:
    change(run, entry)
    with pytest.raises(RunError) as ended:
        read_conditions(read_run(run))
    assert str(ended.value) == f"{run}: {RUN_FILE}: {words}; repeat the run"


def change(run: Path, entry: Any) -> None:
    content = json.loads((run / RUN_FILE).read_text())
    content["metrics"]["conditions"] = entry
    (run / RUN_FILE).write_text(json.dumps(content))
