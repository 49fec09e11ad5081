"""Complete runs under every schedule: equal predictions, correct counts, bounded memory, and prompt interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars
import pytest
from PIL import Image

from tests.bench.run.test_run import (
    BROKEN,
    VIDEOS,
    content,
    folder_config,
    interrupted,
    predictions,
    same_answers,
    save_dataset,
)
from tests.cli.test_cli import COMMAND, vbench, wait_for_lines
from tests.interrupts import heed_interrupts
from tests.shared import CLIPS, needs_shared
from tests.videos import save_picture, save_video
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import Result, resume_run, start_run
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.scheduler.options import StreamOptions

SCHEDULES = [StreamOptions(name, 4, 1, 2) for name in ("lockstep", "compact", "inflight")]
SPECULATIVE = StreamOptions("inflight", 4, 1, 2, "speculative")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def config(tiny_bundle: Bundle, data: Path) -> RunConfig:
    return folder_config(tiny_bundle, data, 0.95)


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return start_run(config, tmp_path_factory.mktemp("runs") / "sequential", "")


@pytest.mark.parametrize("options", [*SCHEDULES, SPECULATIVE], ids=lambda options: f"{options.schedule}-{options.sync}")
def test_every_schedule_gives_the_same_run(
    config: RunConfig, whole: Result, tmp_path: Path, options: StreamOptions
) -> None:
    run = start_run(replace(config, stream=options), tmp_path / "run", "").path
    tables = [predictions(path).drop("gmacs_wasted") for path in (run, whole.path)]
    varying = [name for name in tables[0].columns if name.endswith("_ms") or name in ("frames_read", "frames_decoded")]
    assert tables[0].drop(varying).equals(tables[1].drop(varying))
    assert content(run)["schedule"] == {
        "schedule": options.schedule,
        "slots": 4,
        "prefetch": 1,
        "workers": 2,
        "sync": options.sync,
    }
    wasted = predictions(run)["gmacs_wasted"].sum()
    if options is not SPECULATIVE:  # its waste depends on timing
        assert (wasted > 0) == (options.schedule == "lockstep")


@pytest.mark.parametrize("options", [StreamOptions(), *SCHEDULES, SPECULATIVE], ids=lambda o: f"{o.schedule}-{o.sync}")
def test_counts_and_times_add_up(config: RunConfig, tmp_path: Path, options: StreamOptions) -> None:
    result = start_run(replace(config, stream=options), tmp_path / "run", "")
    table = predictions(result.path)
    answered = table.filter(polars.col("error").is_null())
    unused = answered["frames_read"] - answered["frames_used"]
    assert unused.min() >= 0
    assert unused.max() <= options.prefetch + (options is SPECULATIVE), (
        "the number of unused frames of a video must be bounded"
    )
    frames = result.metrics["frames"]
    assert frames["used"] == answered["frames_used"].sum()
    assert frames["unused"] == unused.sum()
    assert frames["decoded"] == frames["read"] == table["frames_read"].sum()
    assert frames["forced"] == 0, "a folder of images needs no additional frames decoded"
    times = result.metrics["time_ms"]
    parts = sum(times[name] for name in ("wait", "backbone", "head", "scheduling"))
    assert 0 < parts <= times["elapsed"]
    assert times["elapsed"] - parts < 5, "only time before the first tick and after the last may be missing"
    assert result.metrics["videos_per_s"] == pytest.approx(9 / (VIDEOS * times["elapsed"] / 1e3))
    by_step = result.metrics["latency_by_exit_step_ms"]
    assert {int(step): times["count"] for step, times in by_step.items()} == {
        step: count for step, count in enumerate(result.metrics["exit_histogram"], start=1) if count
    }


@pytest.mark.parametrize("videos", [1, 6])
def test_interrupted_run_in_flight_resumes(config: RunConfig, whole: Result, tmp_path: Path, videos: int) -> None:
    in_flight = replace(config, stream=SCHEDULES[-1])
    run = interrupted(in_flight, tmp_path / "run", videos)
    resume_run(run)
    same_answers(run, whole.path)


def test_a_truncated_video_fails_alone(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A truncated file fails at its first missing frame; the others finish, and the record lists the failures."""
    data = tmp_path / "data"
    for name in ("bow", "clap", "jump", "run", "wave"):
        save_video(data / name / "whole.mp4", frames=40)
    cut = data / "jump" / "cut.avi"
    save_video(cut, frames=40)
    (data / "run" / "empty.mp4").touch()
    (data / "wave" / "text.mp4").write_text("no video")
    cut.write_bytes(cut.read_bytes()[:400])
    args = ("--mode", "throughput", "--slots", "3", "--first-threshold", "1", "--gate-threshold", "1")
    ended = vbench("run", tiny_bundle.path, "--dataset", "folder", "--data", data, "-o", tmp_path / "run", *args)
    assert ended.returncode == 0, ended.stderr
    assert "3 videos have no answer" in ended.stderr
    table = predictions(tmp_path / "run")
    failed = table.filter(polars.col("error").is_not_null())["video"].to_list()
    assert failed == ["jump/cut.avi", "run/empty.mp4", "wave/text.mp4"]
    assert (table.filter(polars.col("error").is_null())["exit_step"] == 10).all()
    assert content(tmp_path / "run")["metrics"]["errors"] == 3


@needs_shared
def test_real_clips_in_flight(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Only broken clips fail; every schedule gives the same predictions and the same errors."""
    data = tmp_path / "data"
    for name in ("bow", "clap", "jump", "run", "wave"):
        (data / name).mkdir(parents=True)
    for number, clip in enumerate(sorted(path for path in CLIPS.iterdir() if path.suffix != ".csv")):
        (data / ("bow", "clap", "jump", "run", "wave")[number % 5] / clip.name).symlink_to(clip)
    config = folder_config(tiny_bundle, data, 0.95)
    tables = []
    for options in (StreamOptions(), SCHEDULES[-1]):
        run = start_run(replace(config, stream=options), tmp_path / options.schedule, "").path
        tables.append(predictions(run).select("video", "prediction", "exit_step", "scores", "error"))
    assert tables[0].equals(tables[1])
    errors = tables[0].filter(polars.col("error").is_not_null())["video"].to_list()
    assert {Path(video).name for video in errors} >= {
        "derived_empty.mp4", "derived_not_a_video.mp4", "derived_truncated_60pct.mp4", "derived_truncated_60pct.mkv"
    }  # fmt: skip
    assert len(tables[0]) - len(errors) >= 20


@pytest.mark.parametrize(
    ("options", "wasted"),
    [(("--schedule", "lockstep", "--slots", "4"), True), (("--sync", "speculative"), None), ((), False)],
    ids=["lockstep", "speculative", "sequential"],
)
def test_wasted_compute_is_printed(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, options: tuple[str, ...], wasted: bool | None
) -> None:
    """The speculative case may waste nothing, since it starts a frame only if its pixels are ready."""
    ended = vbench("run", tiny_bundle.path, "--dataset", "folder", "--data", data, "-o", tmp_path / "run", *options)
    assert ended.returncode == 0, ended.stderr
    metrics = content(tmp_path / "run")["metrics"]
    assert ("GMACs wasted" in ended.stdout) == (metrics["gmacs_wasted"] > 0)
    assert wasted is None or (metrics["gmacs_wasted"] > 0) == wasted


def test_ctrl_c_ends_within_a_second(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Interruption does not wait for reads that take long."""
    data = save_dataset(tmp_path / "data")
    slow = tmp_path / "slow.jpeg"
    Image.new("RGB", (9000, 9000)).save(slow)  # reading it takes a second or so
    for video in ("jump/0", "jump/1", "run/0", "run/1"):
        for picture in (data / video).iterdir():
            picture.unlink()
            picture.hardlink_to(slow)
    run = tmp_path / "run"
    args = ["run", str(tiny_bundle.path), "--dataset", "folder", "--data", str(data), "-o", str(run)]
    options = ["--mode", "throughput", "--slots", "2", "--workers", "2"]
    with subprocess.Popen(
        [*COMMAND, *args, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        wait_for_lines(run / "journal.jsonl", 3)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        out, err = process.communicate(timeout=60)
        took_s = time.monotonic() - begin
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "vbench: interrupted"
    assert took_s < 10, "takes a second on an idle machine, and forever if it hangs"
    kept = {json.loads(line)["video"] for line in (run / "journal.jsonl").read_text().splitlines()}
    assert BROKEN in kept


def peak_megabytes(bundle: Bundle, data: Path, out: Path) -> float:
    code = "import resource, sys; from vbench.cli.main import main\ntry: main()\n" + (
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    args = ["run", str(bundle.path), "--dataset", "folder", "--data", str(data), "-o", str(out)]
    command = [sys.executable, "-c", code, *args, "--mode", "throughput", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_videos(tiny_bundle: Bundle, tmp_path: Path) -> None:
    for frame in range(10):
        save_picture(tmp_path / "frames" / f"{frame}.jpeg", level=3 * frame)
    peaks = []
    for videos in (10, 1000):
        data = tmp_path / f"data_{videos}"
        for number in range(videos):
            link = data / "abcde"[number % 5] / f"{number:04d}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(tmp_path / "frames", target_is_directory=True)
        peaks.append(peak_megabytes(tiny_bundle, data, tmp_path / f"run_{videos}"))
    assert len(predictions(tmp_path / "run_1000")) == 1000
    assert peaks[1] - peaks[0] < 30, "990 more videos may only add their rows"
