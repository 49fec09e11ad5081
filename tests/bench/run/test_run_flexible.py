"""Runs of frame-flexible networks over an FFN data set: one frame count, all counts, a cascade, a budget."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from tests.bench.run.test_run import COLUMNS, VARYING_COLUMNS, content, interrupt_after, same_answers
from tests.cli.test_cli import assert_fails, vbench
from tests.configs import changed, run_config
from tests.videos import save_picture
from vbench.bench.compare.audit import audit
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import Result, resume_run, start_run
from vbench.bench.run.variants import (
    NamedListener,
    interrupted_variants,
    resume_variants,
    start_variants,
    variants_of,
)
from vbench.errors import RunError, UsageError
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import FlexibleManifest
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.load import load
from vbench.runtime.networks.family import RunVariant
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.scheduler.options import THROUGHPUT, StreamOptions
from vbench.runtime.video.sampling import tsn_segment_positions

FlexibleBundle = Callable[..., Bundle[FlexibleManifest]]
LENGTHS = {"1": 30, "2": 12, "3": 5, "4": 30, "5": 9}  # frames of the videos; 3 has fewer than most counts
BROKEN, SHORT, HOLES = "4", "6", "1"
COUNTS = (2, 4, 6, 8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something-Something in FFN's list format, five classes, with a broken video and one that is too short."""
    root = tmp_path_factory.mktemp("sthv1")
    (root / "category.txt").write_text("Doing a\nDoing b\nDoing c\nDoing d\nDoing e\n")
    lines = [f"20bn/{video} {length} {number % 5}" for number, (video, length) in enumerate(LENGTHS.items())]
    (root / "val_videofolder.txt").write_text("\n".join([*lines, f"20bn/{SHORT} 2 0", ""]))
    for video, length in {**LENGTHS, SHORT: 2}.items():
        for frame in range(1, length + 1):
            save_picture(root / "20bn" / video / f"{frame:05d}.jpg", level=10 * int(video) + 7 * frame)
    for frame in range(2, 31, 2):
        (root / "20bn" / HOLES / f"{frame:05d}.jpg").unlink()
    (root / "20bn" / BROKEN / "00001.jpg").write_bytes(b"broken")
    for frame in range(2, 31):
        (root / "20bn" / BROKEN / f"{frame:05d}.jpg").unlink()
    return root


@pytest.fixture(scope="module")
def config(flexible_bundle: FlexibleBundle, data: Path) -> RunConfig:
    return run_config(flexible_bundle("tsm"), dataset="sthv1", data=data)


def predictions(run: Path) -> polars.DataFrame:
    return polars.read_parquet(run / "predictions.parquet", glob=False)


@contextmanager
def silent(_: str) -> Any:
    yield lambda _: None


def counts_of(config: RunConfig) -> tuple[int, ...]:
    variants = variants_of(config, open_bundle(Path(config.bundle)))
    assert [variant.name for variant in variants] == [f"frames_{count:02d}" for (count,) in each_frames(variants)]
    return tuple(count for (count,) in each_frames(variants))


def each_frames(variants: Sequence[RunVariant]) -> list[tuple[int, ...]]:
    return [variant.choice.frames or () for variant in variants]


def start_all(config: RunConfig, out: Path, listener: NamedListener = silent) -> list[Result]:
    return start_variants(config, variants_of(config, open_bundle(Path(config.bundle))), out, "", listener)


@pytest.fixture(scope="module")
def eight(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return start_run(changed(config, frames=(8,)), tmp_path_factory.mktemp("runs") / "eight", "vbench run it")


def test_one_count(eight: Result, config: RunConfig) -> None:
    table, record = predictions(eight.path), content(eight.path)
    assert dict(table.schema) == COLUMNS
    assert record["policy"] == {"kind": "frames", "frames": 8}
    assert record["left_out"] == [{"video": SHORT, "reason": "the video has 2 frames, fewer than 3"}]
    assert table["video"].to_list() == list(LENGTHS)
    assert table.filter(polars.col("error").is_null())["frames_used"].to_list() == [8] * 4
    network = load(config.bundle, "ort", frames=8)
    videos = {video.key: video for video in eight.dataset.videos}
    for row in table.iter_rows(named=True):
        if row["video"] == BROKEN:
            assert "00001.jpg" in row["error"]
            continue
        wanted = network.predict(videos[row["video"]].open())
        assert (row["prediction"], row["exit_step"]) == (wanted.label, 1)
        assert row["gmacs"] == pytest.approx(wanted.macs / 1e9)
    assert table.filter(video="3")["frames_decoded"].to_list() == [
        1
    ]  # five frames, fewer than requested: only the first
    # every second frame of this video is missing and replaced by its first
    missing = sum(position % 2 for position in tsn_segment_positions(LENGTHS[HOLES], 8))
    assert table["frames_replaced"].to_list() == [missing if video == HOLES else 0 for video in LENGTHS]
    metrics = eight.metrics
    assert metrics["frames"]["replaced"] == missing > 0
    answered = table.filter(polars.col("error").is_null())
    right = [row["prediction"] in row["label"] for row in answered.iter_rows(named=True)]
    assert metrics["accuracy"] == pytest.approx(100 * np.mean(right))
    assert (metrics["top5"], metrics["mean_frames"], metrics["exit_histogram"]) == (100, 8, [4])


def test_torch_and_another_layout_agree(
    eight: Result, config: RunConfig, tmp_path: Path, flexible_bundle: FlexibleBundle
) -> None:
    torch = start_run(changed(config, frames=(8,), engine="torch"), tmp_path / "torch", "").path
    shared = changed(config, frames=(8,), bundle=str(flexible_bundle("tsm", "shared").path))
    for run in (torch, start_run(shared, tmp_path / "shared", "").path):
        same = ("video", "label", "prediction", "frames_used", "gmacs", "error")
        columns = [column for column in same if column != "gmacs" or run == torch]
        assert predictions(run).select(columns).equals(predictions(eight.path).select(columns))


SEVERAL = [THROUGHPUT, StreamOptions("compact", 2), StreamOptions("inflight", 3, prefetch=2, workers=3)]


@pytest.mark.parametrize("options", [StreamOptions(), *SEVERAL], ids=lambda options: options.schedule)
def test_reading_ahead_and_batches_change_nothing(
    eight: Result, config: RunConfig, tmp_path: Path, options: StreamOptions
) -> None:
    """Except for rounding of sums in batches of a different size."""
    run = start_run(changed(config, frames=(8,), stream=options), tmp_path / "run", "").path
    assert content(run)["schedule"] == {name: value for name, value in options.record().items() if name != "mode"}
    assert content(run)["config"]["stream"] == options.record()
    if options.slots == 1:
        same_answers(run, eight.path)
        return
    one, other = (predictions(path).drop(VARYING_COLUMNS) for path in (run, eight.path))
    assert one.drop("probability").equals(other.drop("probability"))
    probabilities = [table["probability"].drop_nulls().to_numpy() for table in (one, other)]
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-6)


def test_all_counts(config: RunConfig, eight: Result, tmp_path: Path) -> None:
    assert counts_of(config) == COUNTS
    assert counts_of(changed(config, frames=(2, 8))) == (2, 8)
    assert not counts_of(changed(config, frames=(8,)))
    assert not counts_of(changed(config, cascade=0.5))
    assert not counts_of(changed(config, trace=True))
    results = start_all(config, tmp_path / "runs")
    assert [result.path.name for result in results] == [f"frames_{count:02d}" for count in COUNTS]
    assert [result.metrics["mean_frames"] for result in results] == list(COUNTS)
    gmacs = [result.metrics["gmacs"] for result in results]
    assert gmacs == pytest.approx([count * gmacs[0] / 2 for count in COUNTS])
    same_answers(results[-1].path, eight.path)


def test_resume_after_an_interruption_at_any_count(config: RunConfig, eight: Result, tmp_path: Path) -> None:
    @contextmanager
    def listener(name: str) -> Any:
        yield interrupt_after(2) if name == "frames_04" else lambda _: None

    with pytest.raises(KeyboardInterrupt):
        start_all(config, tmp_path / "runs", listener)
    left = interrupted_variants(tmp_path / "runs")
    assert [path.name for path in left] == ["frames_04", "frames_06", "frames_08"]
    resume_variants(left, silent)
    same_answers(tmp_path / "runs" / "frames_08", eight.path)
    with pytest.raises(RunError, match=r"all runs in .* are complete"):
        interrupted_variants(tmp_path / "runs")
    assert interrupted_variants(eight.path) == []


def test_a_cascade(config: RunConfig, eight: Result, tmp_path: Path) -> None:
    small = load(config.bundle, "ort", frames=2)
    videos = [video for video in eight.dataset.videos if video.key != BROKEN]
    confidences = [float(small.predict(video.open()).probabilities.max()) for video in videos]
    threshold = float(np.median(confidences))
    run = start_run(changed(config, frames=(2, 8), cascade=threshold), tmp_path / "run", "")
    assert content(run.path)["policy"] == {"kind": "cascade", "counts": [2, 8], "threshold": threshold}
    table = predictions(run.path).filter(polars.col("error").is_null())
    wanted = [(1, 2) if confidence > threshold else (2, 10) for confidence in confidences]
    assert table.select("exit_step", "frames_used").rows() == wanted
    assert len(set(wanted)) == 2
    assert run.metrics["mean_frames"] == pytest.approx(np.mean([frames for _, frames in wanted]))
    never = start_run(changed(config, frames=(2, 8), cascade=1.0), tmp_path / "never", "")
    assert never.metrics["exit_histogram"] == [0, 4]
    assert predictions(never.path)["prediction"].equals(predictions(eight.path)["prediction"])


def test_a_resumed_run_keeps_its_budget(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        start_run(changed(config, budget_ms=1e6), tmp_path / "run", "", interrupt_after(2))
    for file in Path(config.bundle).glob("measurements.json"):
        file.write_text("{}")
    result = resume_run(tmp_path / "run")
    assert content(result.path)["policy"] == {"kind": "frames", "frames": 8, "budget_ms": 1e6}
    assert content(result.path)["policy_label"] == "8 frames, within 1e+06 ms"
    assert content(result.path)["policy_label"] == "8 frames, within 1e+06 ms"
    assert result.metrics["mean_frames"] == 8
    with pytest.raises(UsageError, match="--budget-ms cannot be combined with --frames or --cascade"):
        start_run(changed(config, frames=(4,), budget_ms=1e6), tmp_path / "both", "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": (5,)}, "this bundle has no part for 5 frames, only for 2, 4, 6, 8"),
        ({"frames": (8,), "first_threshold": 0.5}, "takes no --first-threshold"),
        ({"frames": (8,), "stream": StreamOptions("lockstep", 4)}, "the lockstep schedule works only with FrameExit"),
        (
            {"frames": (8,), "stream": StreamOptions(prefetch=1, sync="speculative")},
            "--sync speculative works only with FrameExit: .*no gates to wait for",
        ),
        ({"frames": (8,), "dataset": "demo", "data": None}, "demo has 10 classes, but tsm_folded has 5"),
        ({"budget_ms": 1e-6}, "no frame count fits 1e-06 ms"),
    ],
)
def test_invalid_runs(config: RunConfig, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        start_run(changed(config, **changes), tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def test_an_audit_compares_every_frame_count(config: RunConfig, tmp_path: Path) -> None:
    found = audit(config, EngineOptions(engine="torch"), tmp_path / "audit", "", silent)
    assert [pair.variant for pair in found.pairs] == [f"frames_{count:02d}" for count in COUNTS]
    assert (found.videos, found.engine, found.precision, found.changed_percent) == (5, "ort", "fp32", 0)
    for count, pair in zip(COUNTS, found.pairs):
        assert pair.reference.mean_frames == pair.candidate.mean_frames == count
        assert pair.reference.gmacs == pair.candidate.gmacs is not None
        assert 0 < pair.agreement.probability_difference < 1e-4
        assert Path(pair.candidate.run) == tmp_path / "audit" / "candidate" / f"frames_{count:02d}"


def test_an_audit_counts_changed_frame_counts(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a cascade, a video whose reference ends one frame count earlier has a different exit step."""
    started: list[str] = []

    @contextmanager
    def listener(name: str) -> Any:
        started.append(name)
        yield lambda _: None

    monkeypatch.setattr(Cascade, "exits", lambda *_: started[-1] == "reference")
    cascade = changed(config, frames=(2, 8), cascade=0.5)
    found = audit(cascade, EngineOptions(engine="torch"), tmp_path / "audit", "", listener)
    (pair,) = found.pairs
    assert (pair.variant, started) == (None, ["reference", "candidate"])
    assert (pair.agreement.other_exit_step, pair.agreement.exit_step_changes) == (4, {1: 4})
    assert found.changed_percent == 80
    assert (pair.reference.mean_frames, pair.candidate.mean_frames) == (2, 2 + 8)
    assert pair.candidate.margins.count == 4


def test_the_audit_of_chosen_counts_on_the_command_line(config: RunConfig, tmp_path: Path) -> None:
    args = ("audit", config.bundle, "--dataset", "sthv1", "--data", str(config.data.data), "--frames", "2,8")
    ended = vbench(*args, "-o", tmp_path / "audit", "--max-changed", "0", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert [line for line in lines if line.startswith("frames_")] == ["frames_02:", "frames_08:"]
    assert lines.count("5 videos: 0 changed class, 0 changed exit step") == 2
    ended = vbench(*args, "-o", tmp_path / "again", "--json", cwd=tmp_path)
    found = json.loads(ended.stdout)
    assert [pair["variant"] for pair in found["variants"]] == ["frames_02", "frames_08"]
    assert found["changed_percent"] == found["variants"][1]["changed_percent"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--frames", "5"), "this bundle has no part for 5 frames, only for 2, 4, 6, 8"),
        (("--cascade", "2"), "confidence 2"),
        (("--first-threshold", "0.5"), "takes no --first-threshold"),
    ],
)
def test_invalid_audits(config: RunConfig, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    args = ("--dataset", "sthv1", "--data", str(config.data.data), "-o", tmp_path / "audit")
    assert_fails(vbench("audit", config.bundle, *args, *options, cwd=tmp_path), 2, words)
    assert not (tmp_path / "audit").exists()


def run_cli(config: RunConfig, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return vbench("run", config.bundle, "--dataset", "sthv1", "--data", str(config.data.data), *args, cwd=cwd)


def test_the_table_of_all_counts(config: RunConfig, tmp_path: Path) -> None:
    ended = run_cli(config, "--frames", "2,8", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    head = ["frames", "top-1", "top-5", "GMACs", "latency", "p50", "p90", "videos/s", "videos", "conditions"]
    assert lines[0].split() == head
    assert [line.split()[0] for line in lines[1:3]] == ["2", "8"]
    assert [Path(line).name for line in lines[3:]] == ["frames_02", "frames_08"]
    assert all((tmp_path / line / "predictions.parquet").is_file() for line in lines[3:])
    assert f"1 videos in the split are missing and were skipped ({SHORT})" in ended.stderr
    assert "1 videos have no answer" in ended.stderr
    assert "unreadable frames were replaced by the first frame of their video" in ended.stderr
    ended = run_cli(config, "--frames", "2,8", "--json", "-o", tmp_path / "again", cwd=tmp_path)
    assert [run["metrics"]["mean_frames"] for run in json.loads(ended.stdout)] == [2, 8]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--frames", "four"), "--frames four is not an integer; pass one number, or several separated by commas"),
        (("--frames", "2,5"), "this bundle has no part for 5 frames"),
        (("--frames", "8,2"), "frame counts [8, 2] are not ascending"),
        (("--frames", "8", "--budget-ms", "5"), "--budget-ms cannot be combined with --frames or --cascade"),
        (("--cascade", "2"), "outside [0, 1]"),
    ],
)
def test_mistakes_of_the_command_line(config: RunConfig, tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    assert_fails(run_cli(config, *args, cwd=tmp_path), 2, words)
    assert not (tmp_path / "runs").exists()
