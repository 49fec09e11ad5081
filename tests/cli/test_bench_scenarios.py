"""The output of LoadGen scenarios, and Ctrl-C during one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interrupts import heed_interrupts
from vbench.bench.benchmark import BenchConfig
from vbench.bench.benchmark.scenarios import LoadGenRun, ScenarioOptions, ScenarioResult
from vbench.cli.bench_scenarios import bench_scenario, scenario_lines
from vbench.runtime.bundle.bundle import Bundle

RUN = LoadGenRun(
    folder="/logs/01-server-90.00-per-s",
    scenario="Server",
    target_qps=90.0,
    valid=True,
    reasons=(),
    holds=True,
    queries=900,
    missed=2,
    rejected=1,
    samples_per_s=88.8,
    latencies_ms={50.0: 8.0, 90.0: 30.0, 95.0: 40.0, 97.0: 50.0, 99.0: 60.0, 99.9: 99.0},
    early_stopping_ms=None,
)
SHORT = replace(RUN, folder="/logs/02-server-91.00-per-s", target_qps=91.0, valid=False, reasons=("too short", "why"))
SERVER = ScenarioOptions("server").resolve()


def test_server() -> None:
    first, head, valid, invalid, limit, *reasons = scenario_lines(ScenarioResult(SERVER, 90.0, RUN, (RUN, SHORT)))
    assert first == "server: 90.0 clips/s with p99 within 200 ms: VALID"
    assert limit == "rejected: clips that had waited 200 ms for a slot, which is the limit; they count as missed"
    assert head.split()[:3] == ["rate", "clips", "clips/s"]
    row = ["900", "88.8", "8.00", "30.00", "60.00", "2", "1"]
    assert valid.split() == ["90.0", *row, "VALID", "01-server-90.00-per-s"]
    assert invalid.split() == ["91.0", *row, "INVALID", "02-server-91.00-per-s"]
    assert reasons == ["02-server-91.00-per-s: too short", "02-server-91.00-per-s: why"]


def test_other_scenarios_and_no_result() -> None:
    def first(result: ScenarioResult) -> str:
        return scenario_lines(result)[0]

    offline = ScenarioOptions("offline").resolve()
    assert first(ScenarioResult(offline, 120.04, SHORT, (SHORT,))) == "offline: 120.0 clips/s: INVALID"
    alone = ScenarioOptions("single-stream").resolve()
    assert first(ScenarioResult(alone, 10.6, RUN, (RUN,))) == "single-stream: p90 10.60 ms: VALID"
    assert scenario_lines(ScenarioResult(SERVER, None, None, (), "why there is none")) == ["server: why there is none"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_real_run(tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    options = ScenarioOptions("server", latency_ms=10_000, min_duration_s=0.3, target_qps=20)
    bench_scenario(BenchConfig(tiny_bundle.path), options, tmp_path / "logs", as_json=as_json)
    out = capsys.readouterr().out
    if as_json:
        assert json.loads(out)["runs"][0]["valid"] is False
    else:
        assert out.startswith("server: 20.0 clips/s with p99 within 10000 ms")
        assert "01-server-20.00-per-s: the run was shorter than LoadGen's minimum duration" in out


CODE = "from vbench.cli.main import main; main()"
LONG = ("--min-duration-s", "600", "--latency-ms", "10000")


@pytest.mark.parametrize("scenario", ["single-stream", "offline", "server"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_command(
    tiny_bundle: Bundle, tmp_path: Path, scenario: str, number: signal.Signals
) -> None:
    """The command ends, and LoadGen with it, although 600 seconds have been requested."""
    logs = tmp_path / "logs"
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "bench", str(tiny_bundle.path), "--scenario", scenario, *LONG, "-o", str(logs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 60
    while not list(logs.glob("*/mlperf_log_detail.txt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    words = "interrupted" if number == signal.SIGINT else "ended by SIGTERM"
    assert (process.returncode, out) == (128 + number, "")
    assert errors.splitlines()[-1] == f"vbench: {words}"
    assert "Traceback" not in errors
    assert not running_with(str(logs))


def running_with(text: str) -> list[str]:
    """Return the command lines of the running processes that contain ``text``."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace").replace("\0", " "))
        except OSError:  # the process has ended
            continue
    return [line for line in lines if text in line]
