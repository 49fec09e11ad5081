from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.benches import BUSY, EARLY, ORIGINAL, bench, result, usual_bench
from vbench.bench.benchmark.bench_folder import BenchFolder
from vbench.bench.benchmark.results import Bench
from vbench.cli.app import app
from vbench.errors import CheckError

CLI = CliRunner()


def save(path: Path, found: Bench) -> str:
    folder = BenchFolder(path)
    folder.save(found)
    folder.close()
    return str(path)


@pytest.fixture
def benches(tmp_path: Path) -> tuple[str, str]:
    slower = bench([result(ORIGINAL, [60.0] * 6), result(EARLY, [40.0] * 6)])
    return save(tmp_path / "one", usual_bench()), save(tmp_path / "other", slower)


def test_the_table_names_contenders_metrics_and_what_is_missing(benches: tuple[str, str]) -> None:
    shown = CLI.invoke(app, ["compare", *benches])
    assert shown.exit_code == 0, shown.output
    assert "ort fp32, sequential" in shown.output
    assert "WORSE" in shown.output
    assert "only before: ort fp32, sequential, all frames; openvino int8, inflight 8" in shown.output


def test_json_is_one_document(benches: tuple[str, str]) -> None:
    shown = CLI.invoke(app, ["compare", *benches, "--json", "--fail-if", "sequential/frames:+5%"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["limits"][0]["failed"] is False
    assert {one["name"] for one in found["contenders"]} == {ORIGINAL.name, EARLY.name}


def test_markdown_is_a_table(benches: tuple[str, str]) -> None:
    assert CLI.invoke(app, ["compare", *benches, "--markdown"]).stdout.startswith("| contender |")


def test_a_threshold_fails_with_exit_code_4(benches: tuple[str, str]) -> None:
    with pytest.raises(CheckError, match="more than sequential/videos_per_s:-5%"):
        CLI.invoke(app, ["compare", *benches, "--fail-if", "sequential/videos_per_s:-5%"], catch_exceptions=False)


def test_conditions_are_named(tmp_path: Path) -> None:
    busy = bench([result(ORIGINAL, [60.0] * 6), result(EARLY, [40.0] * 6, host=BUSY)])
    shown = CLI.invoke(app, ["compare", save(tmp_path / "one", usual_bench()), save(tmp_path / "other", busy)])
    assert "UNSTABLE" in shown.output
    assert "ort fp32, sequential: after, other processes used 0.95 of 2 CPUs" in shown.output
