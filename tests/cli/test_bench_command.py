"""``vbench bench`` as a command: its output, wrong input, and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.benches import EARLY, bench, result, row, turn
from tests.interrupts import heed_interrupts
from vbench.bench.benchmark import read_bench
from vbench.cli.app import app
from vbench.cli.bench import _require_checks
from vbench.errors import CheckError, VbenchError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest, FrameExitManifest

CLI = CliRunner()
SMALL = ("--engine", "ort", "--schedule", "sequential", "--min-repeats", "2", "--limit", "4")
CODE = "from vbench.cli.main import main; main()"


@pytest.fixture(scope="module")
def measured(tiny_bundle: Bundle[FrameExitManifest], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("bench") / "bench"
    shown = CLI.invoke(app, ["bench", str(tiny_bundle.path), *SMALL, "-o", str(out), "--verify"])
    assert shown.exit_code == 0, shown.output
    return out, shown.stdout


def test_the_output_has_tables_a_recommendation_and_the_folder(measured: tuple[Path, str]) -> None:
    out, shown = measured
    assert "PyTorch as the original" in shown
    assert "ort fp32, sequential, all frames" in shown
    assert "efficiency" in shown
    assert shown.rstrip().endswith(str(out))
    assert read_bench(out).complete


def test_every_contender_of_a_real_bundle_agrees_with_the_original(measured: tuple[Path, str]) -> None:
    found = read_bench(measured[0])
    assert [one.contender.name for one in found.results if one.failure] == []
    for one in found.results:
        assert len(one.measured) >= 2
        assert [check.name for check in one.checks if not check.passed and check.name != "no cached answers"] == []


def test_json_is_one_document(flexible_bundle: Callable[[str], Bundle[FlexibleManifest]], tmp_path: Path) -> None:
    bundle = flexible_bundle("tsm").path
    given = ["bench", str(bundle), *SMALL, "--frames", "2,4", "-o", str(tmp_path / "bench"), "--json"]
    shown = CLI.invoke(app, given)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert [row["frames"] for row in found["rows"]] == [2, 4, 4, 2, 4]
    assert found["rows"][3]["theoretical"] > 1.5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--engine", "abacus"), "unknown engine"),
        (("--engine", "trt"), "no engine works"),
        (("--slots", "0"), "--slots must be 1 or more"),
        (("--frames", "4"), "does not offer a choice of frame counts"),
        (("--clips", "missing"), "is not a folder"),
        (("--data", "missing"), "--dataset"),
        (("--dataset", "demo", "--clips", "missing"), "cannot be combined"),
        (("--scenario", "party"), "scenario"),
        (("--max-minutes", "0"), "--max-minutes must be > 0"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(
    tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, given: tuple[str, ...], words: str
) -> None:
    with pytest.raises(VbenchError, match=words):
        CLI.invoke(app, ["bench", str(tiny_bundle.path), *given, "-o", str(tmp_path / "bench")], catch_exceptions=False)
    assert not (tmp_path / "bench").exists()


def test_verify_fails_if_timed_turns_have_other_answers() -> None:
    changed = result(EARLY, [30.0] * 6)
    changed.turns[3] = turn([row(video, 30.0, answer=1 - video % 2) for video in range(8)])
    _require_checks(bench([changed]), verify=False)
    with pytest.raises(CheckError, match="accuracy and performance mode"):
        _require_checks(bench([changed]), verify=True)


def test_resuming_takes_no_other_options(measured: tuple[Path, str]) -> None:
    for given, words in ((("--slots", "4"), "cannot be combined with --slots"), ((), "is complete")):
        with pytest.raises(VbenchError, match=words):
            CLI.invoke(app, ["bench", "--resume", str(measured[0]), *given], catch_exceptions=False)


def test_an_interrupted_benchmark_keeps_its_repetitions_and_continues(
    tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path
) -> None:
    out = tmp_path / "bench"
    options = ("--engine", "ort", "--schedule", "sequential", "--limit", "2", "--min-repeats", "40")
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "bench", str(tiny_bundle.path), *options, "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 240
    while not _repetitions(out):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=60)
    assert (process.returncode, shown) == (130, "")
    assert "Traceback" not in errors
    assert f"continue with: vbench bench --resume {out}" in errors
    before = read_bench(out)
    assert not before.complete
    kept = {one.contender.name: one.turns[1].seconds for one in before.results}
    _shorten(out)
    resumed = CLI.invoke(app, ["bench", "--resume", str(out)])
    assert resumed.exit_code == 0, resumed.output
    after = read_bench(out)
    assert after.complete
    assert {one.contender.name: one.turns[1].seconds for one in after.results} == kept


def _repetitions(out: Path) -> int:
    try:
        return max(len(one.measured) for one in read_bench(out).results)
    except VbenchError:  # not written yet, or between two of its files
        return 0


def _shorten(out: Path) -> None:
    """Lower the number of repetitions of an interrupted benchmark, so that the rest of it is short."""
    path = out / "bench.json"
    record = json.loads(path.read_text())
    record["options"]["min_repeats"] = 2
    path.write_text(json.dumps(record))
