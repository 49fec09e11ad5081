"""Scenarios with the real LoadGen, on a tiny network and for a short time."""

from __future__ import annotations

import builtins
import json
import subprocess
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import vbench
from vbench.bench.benchmark.scenarios import ScenarioOptions, loadgen_client, run_scenario
from vbench.bench.benchmark.scenarios import scenario as scenario_module
from vbench.bench.datasets import Video
from vbench.errors import DatasetError, FrameError, MissingError, RunError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.networks.base import Network
from vbench.runtime.scheduler.stream import ClipStream
from vbench.runtime.video.source import ArrayFrames, FrameSource

SHORT = ScenarioOptions("server", latency_ms=10_000, min_duration_s=0.5, target_qps=20)


@pytest.fixture(scope="module")
def network(tiny_bundle: Bundle) -> Network:
    return vbench.load(tiny_bundle.path, "ort", threads=1)


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 20 * clip + 60, (10, 40, 52, 3), dtype=np.uint8) for clip in range(6)]
    return [Video(f"video_{number}", (), partial(ArrayFrames, clip)) for number, clip in enumerate(clips)]


def threads() -> int:
    return sum(thread.name == "vbench-loadgen" for thread in threading.enumerate())


def test_single_stream(network: Network, videos: list[Video], tmp_path: Path) -> None:
    result = run_scenario(network, videos, ScenarioOptions("single-stream", min_duration_s=0.5), tmp_path / "logs")
    (run,) = result.runs
    assert result.value == (run.early_stopping_ms or run.latencies_ms[90.0])
    assert (run.queries > 1, run.missed, run.rejected, run.target_qps) == (True, 0, 0, None)
    assert not result.valid
    assert "the run was shorter than LoadGen's minimum duration" in run.reasons


def test_offline(network: Network, videos: list[Video], tmp_path: Path) -> None:
    result = run_scenario(network, videos, ScenarioOptions("offline", min_duration_s=0.2), tmp_path)
    (run,) = result.runs
    assert result.value == run.samples_per_s
    assert run.queries >= 100
    assert not result.valid
    assert run.reasons == ("the run was shorter than LoadGen's minimum duration",)


def test_server_at_one_rate(network: Network, videos: list[Video], tmp_path: Path) -> None:
    lines: list[str] = []
    result = run_scenario(network, videos, SHORT, tmp_path, lines.append)
    (run,) = result.runs
    assert result.value == 20
    assert run.holds
    assert not run.valid
    assert any(reason.startswith("early stopping: Run unsuccessful. Processed") for reason in run.reasons)
    assert lines == ["LoadGen: 01-server-20.00-per-s, at least 0.5 s"]
    summary = (tmp_path / "01-server-20.00-per-s" / "mlperf_log_summary.txt").read_text()
    assert "Scenario : Server" in summary
    assert "Result is : INVALID" in summary
    assert "target_qps : 20" in summary
    shown = json.loads(json.dumps(result.as_dict()))
    assert (shown["value"], shown["unit"], shown["verdict"]) == (20, "clips/s", "INVALID")
    assert shown["options"]["scenario"] == "server"
    assert threads() == 0


def test_a_complete_test_is_valid(network: Network, videos: list[Video], tmp_path: Path) -> None:
    """LoadGen's minimum of 10 s is lowered here only, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vbench.bench.benchmark.scenarios.loadgen_settings.MIN_DURATION_S", 0.2)
        options = replace(SHORT, min_duration_s=1.0, percentile=80)
        result = run_scenario(network, videos, replace(options, target_qps=100), tmp_path)
    assert result.valid
    assert result.runs[0].reasons == ()
    assert result.runs[0].queries >= 100


def test_server_search(network: Network, videos: list[Video], tmp_path: Path) -> None:
    options = replace(SHORT, target_qps=None, min_duration_s=0.3, latency_ms=5)
    result = run_scenario(network, videos, options, tmp_path)
    assert [run.target_qps for run in result.runs if run.holds][-1:] == [result.value] * (result.value is not None)
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert [folder[:9] for folder in folders] == [f"{number + 1:02d}-server" for number in range(len(result.runs))]
    assert result.runs or "runs alone" in result.note


def test_every_query_gets_the_answer_of_its_own_clip(
    network: Network, videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries use all clips, and each submitted clip is answered exactly once."""
    submitted: list[object] = []
    original = ClipStream.submit

    def submit(self: ClipStream, clip: object) -> int:
        submitted.append(clip)
        number = original(self, clip)
        assert number == len(submitted) - 1
        return number

    monkeypatch.setattr(ClipStream, "submit", submit)
    result = run_scenario(network, videos, replace(SHORT, target_qps=100), tmp_path)
    assert len(submitted) == result.runs[0].queries
    assert set(submitted) == {video.open for video in videos}


def test_overload_is_rejected_and_counts_as_missed(network: Network, videos: list[Video], tmp_path: Path) -> None:
    def open_slowly(video: Video) -> FrameSource:
        time.sleep(0.01)  # so that a hundred clips per second are the most, on any machine
        return video.open()

    slow = [replace(video, open=partial(open_slowly, video)) for video in videos]
    options = replace(SHORT, latency_ms=20, target_qps=20_000, slots=1)
    result = run_scenario(network, slow, options, tmp_path)
    (run,) = result.runs
    assert 0 < run.rejected <= run.missed <= run.queries
    assert result.value is None
    assert f"p99 is not within the bound at 20000 clips/s: {run.missed} of {run.queries} clips exceeded" in result.note
    assert not run.holds
    assert "too many queries exceeded the latency bound" in run.reasons


def test_a_bound_that_no_clip_meets(network: Network, videos: list[Video], tmp_path: Path) -> None:
    result = run_scenario(network, videos, ScenarioOptions("server", latency_ms=0.001), tmp_path)
    assert (result.value, result.runs, result.valid) == (None, (), False)
    assert "a clip that runs alone takes" in result.note


def fail() -> FrameSource:
    raise FrameError("the file is damaged", "exclude it")


@pytest.mark.parametrize("scenario", ["single-stream", "offline", "server"])
@pytest.mark.parametrize("only_later", [False, True])
def test_a_clip_that_fails_ends_the_test(
    network: Network,
    videos: list[Video],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: str,
    only_later: bool,
) -> None:
    """The clip fails in the measurement before the test, or only in the test itself."""
    if only_later:
        monkeypatch.setattr(scenario_module, "clips_per_second", lambda *_: 50.0)
        monkeypatch.setattr(scenario_module, "least_latency_ms", lambda *_: 1.0)
    given = [*videos, Video("broken", (), fail)]
    options = ScenarioOptions(scenario, latency_ms=10_000, min_duration_s=600)
    with pytest.raises(RunError) as caught:
        run_scenario(network, given, options, tmp_path)
    assert str(caught.value) == "video broken: the file is damaged; exclude it"
    assert threads() == 0


def test_a_stream_that_crashes_ends_the_test(
    network: Network, videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.warm_up(SHORT.resolve().stream())
    monkeypatch.setattr(network, "warm_up", lambda _: None)
    monkeypatch.setattr(network.engine, "run", lambda *_, **__: 1 / 0)
    with pytest.raises((ZeroDivisionError, RunError)):
        run_scenario(network, videos, replace(SHORT, min_duration_s=600), tmp_path)
    assert threads() == 0


def test_bad_input(network: Network, videos: list[Video], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown scenario 'fast'"):
        run_scenario(network, videos, ScenarioOptions("fast"), tmp_path)
    with pytest.raises(DatasetError, match="there are no clips to run; choose a data set or folder"):
        run_scenario(network, [], SHORT, tmp_path)
    run_scenario(network, videos, SHORT, tmp_path)
    with pytest.raises(RunError, match=r"01-server-20.00-per-s already exists; choose another folder"):
        run_scenario(network, videos, SHORT, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(vbench.errors.VbenchError, match="file"):
        run_scenario(network, videos, SHORT, tmp_path / "file")


def test_missing_package(
    network: Network, videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loadgen_client, "find_spec", lambda _: None)
    with pytest.raises(MissingError) as caught:
        run_scenario(network, videos, SHORT, tmp_path)
    assert str(caught.value) == "mlcommons-loadgen is not installed; pip install mlcommons-loadgen"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "LoadGen was ended by SIGABRT; run again"),
        ("raise SystemExit('no memory')", "LoadGen exited with code 1: no memory; run again"),
        ("import time; time.sleep(600)", "LoadGen was ended by SIGKILL; run again"),
    ],
)
def test_loadgen_that_dies_or_hangs(
    network: Network, videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    monkeypatch.setattr(loadgen_client, "_CODE", code.replace("{", "{{").replace("}", "}}"))
    monkeypatch.setattr(loadgen_client, "_SILENCE_S", 1.0)
    with pytest.raises(RunError) as caught:
        run_scenario(network, videos, SHORT, tmp_path)
    assert str(caught.value) == message
    assert threads() == 0


def test_an_interruption_ends_loadgen(
    network: Network, videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    original = subprocess.Popen

    def popen(*args: object, **kwargs: object) -> object:
        started.append(original(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(ClipStream, "results", lambda _: iter(builtins.map(interrupt, [0])))
    monkeypatch.setattr(network, "warm_up", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        run_scenario(network, videos, replace(SHORT, min_duration_s=600), tmp_path)
    (process,) = started
    assert process.poll() is not None
    assert threads() == 0
