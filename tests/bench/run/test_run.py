"""Runs over a data set: every video yields a row, even on errors and interruptions."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars
import pytest

from tests.compared_runs import BUSY
from tests.videos import save_picture
from vbench.bench.compare.agreement import agreement
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.conditions import conditions, read_conditions
from vbench.bench.records.run_file import read_run
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import Progress, Result, resume_run, start_run
from vbench.cli.common.run_tables import run_table
from vbench.errors import DatasetError, MissingError, RunError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.load import load
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.telemetry.cpus import usable_cpus
from vbench.runtime.telemetry.host_record import HostRecord

CLASSES = ("bow", "clap", "jump", "run", "wave")
VIDEOS = 10
FIRST = 0.95  # some of the videos exit at the first step, some later
BROKEN = "clap/1"
TIMES = ["decode_ms", "preprocess_ms", "wait_ms", "backbone_ms", "head_ms", "scheduling_ms", "elapsed_ms"]
INT, FLOAT = polars.Int32, polars.Float64
COLUMNS = {
    "video": polars.String,
    "label": polars.List(INT),
    "prediction": INT,
    "probability": polars.Float32,
    "exit_step": INT,
    "frames_used": INT,
    "frames_read": INT,
    "frames_decoded": INT,
    "frames_replaced": INT,
    "scores": polars.List(FLOAT),
    "gmacs": FLOAT,
    "gmacs_wasted": FLOAT,
    **dict.fromkeys(["latency_ms", *TIMES], FLOAT),
    "error": polars.String,
}
# Depend on timing: the amount of read-ahead, and times.
VARYING_COLUMNS = ["latency_ms", *TIMES, "frames_read", "frames_decoded"]
VARYING_METRICS = (
    *("latency_ms", "latency_by_exit_step_ms", "time_ms", "videos_per_s", "frames", "host", "conditions"),
)


def save_dataset(root: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Two videos per class; the first sampled frame of ``clap/1`` cannot be decoded."""
    for number, name in enumerate(classes):
        for video in range(2):
            for frame in range(10):
                save_picture(root / name / str(video) / f"{frame}.jpeg", level=50 * number + 20 * video + 3 * frame)
    (root / BROKEN / "5.jpeg").write_bytes(b"broken")
    (root / classes[0] / "notes.txt").touch()
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dataset(tmp_path_factory.mktemp("videos"))


def folder_config(bundle: Bundle, data: Path, first_threshold: float = FIRST) -> RunConfig:
    """An ONNX Runtime run over a folder of classes."""
    choice = PolicyChoice(first_threshold=first_threshold)
    return RunConfig(str(bundle.path), data=DataOptions("folder", data), policy=choice)


@pytest.fixture(scope="module")
def config(tiny_bundle: Bundle, data: Path) -> RunConfig:
    return folder_config(tiny_bundle, data)


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return start_run(config, tmp_path_factory.mktemp("runs") / "whole", "vbench run it")


def predictions(run: Path) -> polars.DataFrame:
    return polars.read_parquet(run / "predictions.parquet", glob=False)


def content(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return loaded


def same_answers(one: Path, other: Path) -> None:
    assert predictions(one).drop(VARYING_COLUMNS).equals(predictions(other).drop(VARYING_COLUMNS))
    tables = [polars.read_parquet(run / "probabilities.parquet", glob=False) for run in (one, other)]
    assert tables[0].equals(tables[1])
    metrics = [content(run)["metrics"] | dict.fromkeys(VARYING_METRICS) for run in (one, other)]
    assert metrics[0] == metrics[1]


def interrupt_after(videos: int) -> Callable[[Progress], None]:
    def listener(progress: Progress) -> None:
        if progress.done == videos:
            raise KeyboardInterrupt

    return listener


def interrupted(config: RunConfig, out: Path, videos: int) -> Path:
    with pytest.raises(KeyboardInterrupt):
        start_run(config, out, "vbench run", interrupt_after(videos))
    assert not content(out)["complete"]
    assert not (out / "predictions.parquet").exists()
    return out


def test_a_row_for_every_video(whole: Result, config: RunConfig, data: Path) -> None:
    table = predictions(whole.path)
    assert dict(table.schema) == COLUMNS
    assert table["video"].to_list() == [f"{name}/{video}" for name in CLASSES for video in range(2)]
    assert table["label"].to_list() == [[number] for number in range(5) for _ in range(2)]
    failed = table.filter(polars.col("error").is_not_null())
    assert failed["video"].to_list() == [BROKEN]
    assert str(data / BROKEN / "5.jpeg") in failed["error"][0]
    answer = ["prediction", "probability", "exit_step", "frames_used", "scores", "gmacs", "latency_ms"]
    assert failed.select(answer).row(0) == (None,) * 7
    network = load(config.bundle, "ort", first_threshold=FIRST)
    probabilities = polars.read_parquet(whole.path / "probabilities.parquet")
    assert probabilities["video"].to_list() == table["video"].to_list()
    for row, scores in zip(table.iter_rows(named=True), probabilities["probabilities"].to_list()):
        if row["error"] is None:
            wanted = network.predict(data / row["video"])
            assert (row["prediction"], row["exit_step"]) == (wanted.label, wanted.exit_step)
            assert row["frames_used"] == wanted.exit_step
            assert row["gmacs"] == wanted.macs / 1e9
            assert row["latency_ms"] > row["backbone_ms"] > 0
            assert len(row["scores"]) == min(row["exit_step"], 9)
            assert row["frames_used"] <= row["frames_read"] <= row["frames_used"] + 1
            np.testing.assert_array_equal(np.array(scores, np.float32), wanted.probabilities)
            assert row["probability"] == max(scores)


def test_metrics_follow_from_the_table(whole: Result) -> None:
    recorded = content(whole.path)
    table = predictions(whole.path).filter(polars.col("error").is_null())
    right = [prediction in label for prediction, label in zip(table["prediction"], table["label"])]
    metrics = recorded["metrics"]
    assert metrics == whole.metrics
    assert metrics["metric"] == "top1"
    assert metrics["accuracy"] == pytest.approx(100 * sum(right) / 9)
    assert (metrics["videos"], metrics["errors"]) == (10, 1)
    assert metrics["mean_frames"] == pytest.approx(table["exit_step"].mean())
    assert metrics["gmacs"] == pytest.approx(table["gmacs"].mean())
    assert metrics["gflops_paper"] is None, "the paper has no constant for this backbone"
    assert metrics["exit_histogram"] == [table["exit_step"].to_list().count(step) for step in range(1, 11)]
    assert sum(metrics["exit_histogram"]) == 9 > max(metrics["exit_histogram"]), "exits at several steps"
    latency = metrics["latency_ms"]
    assert latency == {"p50": pytest.approx(table["latency_ms"].median()), "p90": None, "p99": None, "count": 9}


def test_run_records_its_configuration(whole: Result, tiny_bundle: Bundle) -> None:
    recorded = content(whole.path)
    assert sorted(path.name for path in whole.path.iterdir()) == [
        "predictions.parquet",
        "probabilities.parquet",
        "run.json",
    ]
    assert recorded["complete"]
    assert recorded["command"] == "vbench run it"
    assert recorded["bundle"] == {"name": "tiny", "network": tiny_bundle.manifest.network, "sha256": tiny_bundle.digest}
    assert recorded["policy"] == {"kind": "frameexit", "first_threshold": FIRST, "gate_thresholds": [0.5]}
    assert recorded["policy_label"] == f"frameexit first={FIRST} gate=0.5"
    assert recorded["step_frames"] is None, "a step continues the one before"
    assert recorded["config"]["policy"]["first_threshold"] == FIRST
    assert recorded["engine_details"]["providers"] == "CPUExecutionProvider"
    assert recorded["videos"] == 10
    assert [left["video"] for left in recorded["left_out"]] == ["bow/notes.txt"]
    assert {"numpy", "onnxruntime", "vbench"} <= set(recorded["versions"])


class Busy:
    """A monitor of a machine on which another process runs; it records the number of threads."""

    threads: ClassVar[list[int | None]] = []

    def __init__(self, threads: int | None) -> None:
        self.threads.append(threads)

    def __enter__(self) -> Busy:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def record(self) -> HostRecord:
        return BUSY


def test_the_load_of_the_machine_is_recorded(config: RunConfig, tmp_path: Path, whole: Result) -> None:
    assert whole.metrics["host"]["cpus"] == len(os.sched_getaffinity(0))
    assert whole.metrics["host"]["seconds"] > 0
    run = interrupted(config, tmp_path / "run", 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vbench.bench.run.run.HostMonitor", Busy)
        resumed = resume_run(run)
        threads = replace(config, engine=replace(config.engine, threads=1))
        start_run(threads, tmp_path / "one thread", "")
    assert Busy.threads == [usable_cpus(), 1]
    assert resumed.metrics["host"] == BUSY.as_dict()
    assert read_conditions(read_run(run)) == conditions(BUSY, None, VIDEOS - 4)
    said = dict(re.split("  +", line, maxsplit=1) for line in run_table(resumed).splitlines())
    reason = "other processes used 0.92 of 2 CPUs, limit 0.20"
    assert said["conditions"] == f"UNSTABLE: {reason} (known for 6 of 10 videos, since it was resumed)"


def test_a_machine_without_load_counters_has_no_conditions(config: RunConfig, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Busy, "record", lambda _: None)
        patch.setattr("vbench.bench.run.run.HostMonitor", Busy)
        result = start_run(config, tmp_path / "run", "")
    assert (result.metrics["host"], result.metrics["conditions"]) == (None, None)
    assert "conditions" not in run_table(result)


def test_limit(config: RunConfig, tmp_path: Path, whole: Result) -> None:
    result = start_run(replace(config, data=replace(config.data, limit=3)), tmp_path / "run", "")
    assert predictions(result.path)["video"].to_list() == predictions(whole.path)["video"].to_list()[:3]
    assert (result.metrics["videos"], content(result.path)["videos"]) == (3, 3)
    with pytest.raises(RunError, match=f"^{result.path} already exists; choose another folder"):
        start_run(config, result.path, "")


@pytest.mark.parametrize("videos", [1, 4, VIDEOS])
def test_interrupted_run_resumes(config: RunConfig, tmp_path: Path, whole: Result, videos: int) -> None:
    run = interrupted(config, tmp_path / "run", videos)
    done: list[int] = []
    result = resume_run(run, lambda progress: done.append(progress.done))
    assert done == list(range(videos + 1, VIDEOS + 1)), "what was done is not done again"
    assert result.metrics["videos"] == VIDEOS
    same_answers(run, whole.path)
    with pytest.raises(RunError, match="is already complete; start a new one"):
        resume_run(run)


@pytest.mark.parametrize("cut", [1, 30, "to the newline"])
def test_journal_with_a_partial_line_resumes(config: RunConfig, tmp_path: Path, whole: Result, cut: int | str) -> None:
    run = interrupted(config, tmp_path / "run", 4)
    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    journal.write_bytes(b"".join(lines[:3]) + (lines[3][:cut] if isinstance(cut, int) else lines[3].rstrip()))
    with pytest.raises(KeyboardInterrupt):
        resume_run(run, interrupt_after(6))  # lines appended after the truncation must be readable too
    resume_run(run)
    same_answers(run, whole.path)


def test_killed_run_resumes(config: RunConfig, tmp_path: Path, whole: Result) -> None:
    run = tmp_path / "run"
    code = """
import os, signal, sys
from pathlib import Path
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import start_run
from vbench.runtime.policies.choice import PolicyChoice
data, choice = DataOptions("folder", Path(sys.argv[2])), PolicyChoice(first_threshold=0.95)
config = RunConfig(sys.argv[1], data=data, policy=choice)
start_run(config, Path(sys.argv[3]), "", lambda p: os.kill(os.getpid(), signal.SIGKILL) if p.done == 4 else None)
"""
    ended = subprocess.run([sys.executable, "-c", code, config.bundle, str(config.data.data), str(run)])
    assert ended.returncode == -signal.SIGKILL
    assert len((run / "journal.jsonl").read_bytes().splitlines()) == 4
    resume_run(run)
    same_answers(run, whole.path)


def test_resume_errors(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r" has no run\.json; pass a folder written by vbench run"):
        resume_run(tmp_path)
    bundle = Path(shutil.copytree(config.bundle, tmp_path / "bundle"))
    run = interrupted(replace(config, bundle=str(bundle)), tmp_path / "run", 2)
    manifest = bundle / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(RunError, match=f"^the bundle {bundle} has changed since {run} was started; start a new run"):
        resume_run(run)


def test_classes_must_match(config: RunConfig, tmp_path: Path) -> None:
    save_dataset(tmp_path / "data", (*CLASSES, "zoom"))
    other = replace(config, data=DataOptions("folder", tmp_path / "data"))
    with pytest.raises(DatasetError, match=r"folder has 6 classes, but tiny has 5; .*--classes FILE"):
        start_run(other, tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def named_bundle(config: RunConfig, out: Path, names: tuple[str, ...]) -> RunConfig:
    bundle = Path(shutil.copytree(config.bundle, out))
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "class_names": names}), encoding="utf-8")
    return replace(config, bundle=str(bundle))


def test_class_names_determine_the_indices(config: RunConfig, tmp_path: Path) -> None:
    result = start_run(named_bundle(config, tmp_path / "named", CLASSES[::-1]), tmp_path / "run", "")
    assert predictions(result.path)["label"].to_list() == [[4 - number] for number in range(5) for _ in range(2)]
    unknown = named_bundle(config, tmp_path / "other", ("a", *CLASSES[1:]))
    with pytest.raises(DatasetError, match="the network does not know the class 'bow'"):
        start_run(unknown, tmp_path / "run_2", "")


def test_agreement(config: RunConfig, whole: Result, tmp_path: Path) -> None:
    reference = start_run(replace(config, engine=EngineOptions(engine="torch")), tmp_path / "torch", "")
    found = agreement(reference.path, whole.path)
    assert (found.videos, found.other_class, found.other_exit_step) == (10, 0, 0)
    assert 0 <= found.probability_difference < 1e-4
    eager = start_run(replace(config, policy=PolicyChoice(first_threshold=0.0)), tmp_path / "eager", "")
    later = (predictions(whole.path)["exit_step"] > 1).sum()
    assert agreement(eager.path, whole.path).other_exit_step == later > 0
    part = start_run(replace(config, data=replace(config.data, limit=3)), tmp_path / "part", "")
    with pytest.raises(RunError, match="do not cover the same videos"):
        agreement(part.path, whole.path)
    with pytest.raises(RunError, match=r"predictions\.parquet does not exist"):
        agreement(tmp_path, whole.path)


def test_full_disk_keeps_what_was_written(config: RunConfig, whole: Result, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress: Progress) -> None:
        if progress.done == 3:
            room = (progress.folder / "journal.jsonl").stat().st_size + 20
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    try:
        with pytest.raises(MissingError, match="no space left on the disk"):
            start_run(config, tmp_path / "run", "vbench run it", fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    same_answers(whole.path, resume_run(tmp_path / "run").path)
