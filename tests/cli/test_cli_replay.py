"""Traces, sweeps and tuning on the command line: tables, JSON documents and one-line errors."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars
import pytest

from tests.bench.run.test_run import save_dataset
from tests.replay import flexible_trace, random_trace, save_trace
from vbench.bench.stats.intervals import Interval
from vbench.bench.sweep.risk_bound import videos_needed
from vbench.bench.sweep.sweep_file import read_sweep
from vbench.bench.sweep.target_check import TargetCheck
from vbench.bench.trace.replay import exit_steps
from vbench.bench.trace.trace_file import read_trace
from vbench.cli.main import main
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.policies.registry import read_policy, write_policy
from vbench.runtime.policies.rules import Confidence

SMALL = ("--points", "9")


class Ended(NamedTuple):
    code: int | str | None
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def vbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command in this process."""

    def run(*args: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["vbench", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return run


def failed(ended: Ended, code: int, *words: object) -> None:
    """Assert the exit code, empty stdout, and one line on stderr containing ``words``."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith("vbench: ")
    assert ended.err.count("\n") == 1
    for word in words:
        assert str(word) in ended.err


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    return save_trace(random_trace(120, steps=5), tmp_path / "runs" / "traced")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dataset(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize(
    "options",
    [
        ("--first-threshold", "0.5"),
        ("--gate-threshold", "0.5"),
        ("--frames", "4"),
        ("--cascade", "0.5"),
        ("--budget-ms", "9"),
    ],
)
def test_policy_options_are_mutually_exclusive(
    options: tuple[str, str], tiny_bundle: Bundle, tmp_path: Path, vbench: Command
) -> None:
    policy, out = tmp_path / "policy.json", tmp_path / "run"
    write_policy(policy, Confidence(0.5), {})
    begin = ("run", tiny_bundle.path, "-o", out, *options)
    failed(vbench(*begin, "--trace"), 2, f"--trace takes no {options[0]}; replay any policy with vbench sweep")
    failed(vbench(*begin, "--policy", policy), 2, f"--policy takes no {options[0]}; omit it")
    failed(vbench(*begin, "--policy", policy, "--trace"), 2, "--trace takes no --policy; replay any")
    assert not out.exists()


def test_inapplicable_policies_are_rejected(tiny_bundle: Bundle, data: Path, tmp_path: Path, vbench: Command) -> None:
    begin = ("run", tiny_bundle.path, "--dataset", "folder", "--data", data, "-o", tmp_path / "run", "--policy")
    failed(vbench(*begin, tmp_path / "policy.json"), 2, f"cannot read {tmp_path / 'policy.json'}: ", "vbench tune")
    path = tmp_path / "other.json"
    for policy, words in (
        ({"kind": "frames", "frames": 4}, "has no frame counts to choose from; pass an early-exit policy"),
        (
            {"kind": "fixed", "steps": 11},
            "fixed exits at step 11, but the network has 10 steps; choose a step from 1 to 10",
        ),
        ({"kind": "wish"}, "unknown policy kind 'wish'"),
    ):
        path.write_text(json.dumps({"schema_version": 1, "policy": policy}))
        failed(vbench(*begin, path), 2, words)
    assert not (tmp_path / "run").exists()


def test_a_run_follows_the_policy_tuned_on_a_trace(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, vbench: Command
) -> None:
    source = (tiny_bundle.path, "--dataset", "folder", "--data", data)
    traced, policy, out = tmp_path / "traced", tmp_path / "policy.json", tmp_path / "tuned"
    assert vbench("run", *source, "--trace", "-o", traced).code == 0
    assert vbench("sweep", traced, *SMALL).code == 0
    trace = read_trace(traced)  # of an untrained network: labels that fit its predictions let it be tuned
    labels = ((int(trace.predictions[-1, 0]) + 1) % 2, *map(int, trace.predictions[-1, 1:]))
    relabeled = save_trace(replace(trace, labels=tuple((label,) for label in labels)), tmp_path / "relabeled")
    ended = vbench("tune", relabeled, "--target-gflops", "1", "--policies", "confidence", *SMALL, "-o", policy)
    assert ended.code == 0, ended
    assert vbench("run", *source, "--policy", policy, "-o", out, "--json").code == 0
    tuned = read_policy(policy)
    recorded = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert recorded["policy"] == tuned.record() == json.loads(policy.read_text(encoding="utf-8"))["policy"]
    table = polars.read_parquet(out / "predictions.parquet").filter(polars.col("error").is_null())
    assert table["video"].to_list() == list(trace.videos)
    assert table["exit_step"].to_list() == exit_steps(tuned, trace).tolist()
    middle = Confidence(float(sorted(trace.confidences[:-1].ravel())[40]))
    write_policy(policy, middle, {})
    assert vbench("run", *source, "--policy", policy, "-o", tmp_path / "middle").code == 0
    table = polars.read_parquet(tmp_path / "middle" / "predictions.parquet").filter(polars.col("error").is_null())
    steps = exit_steps(middle, trace).tolist()
    assert table["exit_step"].to_list() == steps
    assert len(set(steps)) > 1


def test_sweep_prints_a_table(traced: Path, vbench: Command) -> None:
    ended = vbench("sweep", traced, *SMALL)
    assert ended.code == 0
    head, *lines, path = ended.out.splitlines()
    assert head.split() == ["policy", "top-1", "95", "%", "interval", "GFLOPs", "GMACs", "frames", "ms", "videos/s"]
    assert path == str(traced / "sweep.parquet")
    found = read_sweep(traced)
    front = [point for point in found.points if point.pareto]
    assert [line.split()[0] for line in lines] == ["front"] * len(front) + ["default", "bound"]
    assert lines[-1].split()[1] == "oracle"
    for line, point in zip(lines, sorted(front, key=lambda point: point.gmacs)):
        assert f" {point.accuracy:.2f} %  " in line
        assert f" {point.gmacs:.4f}  " in line
    assert f"{len(found.points)} operating points, {len(front)} of them on the Pareto front\n" in ended.err
    assert ("vbench tune holds some out" in ended.err) == any(point.searched for point in front)


def test_sweep_prints_one_document(traced: Path, tmp_path: Path, vbench: Command) -> None:
    out = tmp_path / "new" / "points.parquet"
    ended = vbench("sweep", traced, *SMALL, "--policies", "fixed,oracle", "-o", out, "--json")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    found = read_sweep(out)
    assert (document["sweep"], document["points"]) == (str(out), len(found.points))
    assert len(found.points) == 1 + 5 + 1
    shown = [point for point in found.points if point.pareto or not point.runnable]
    assert [point["gmacs"] for point in document["front"]] == [point.gmacs for point in shown]
    assert document["front"][0]["interval"] == list(shown[0].interval or ())
    assert not (traced / "sweep.parquet").exists()


def test_sweep_joins_runs(traced: Path, tmp_path: Path, vbench: Command) -> None:
    other = save_trace(random_trace(120, steps=5, seed=1), tmp_path / "runs" / "other")
    ended = vbench("sweep", traced, other, *SMALL, "--timing", traced)
    assert ended.code == 0
    assert ended.out.splitlines()[0].split()[0] == "run"
    assert {line.split()[1] for line in ended.out.splitlines()[1:-1]} == {str(traced), str(other)}
    found = read_sweep(traced)
    assert found.times_from == {str(traced): str(traced), str(other): str(traced)}
    assert not (other / "sweep.parquet").exists()


def test_sweep_of_frame_counts_and_of_map(tmp_path: Path, vbench: Command) -> None:
    ended = vbench("sweep", save_trace(flexible_trace(50), tmp_path / "flexible"), *SMALL)
    assert ended.code == 0
    assert "16 frames" in ended.out
    ended = vbench("sweep", save_trace(random_trace(40, steps=4, metric="map"), tmp_path / "map"), *SMALL)
    assert ended.code == 0
    assert "mAP" in ended.out.splitlines()[0]
    nothing = replace(random_trace(9, steps=4), labels=(None,) * 9)
    ended = vbench("sweep", save_trace(nothing, tmp_path / "unlabeled"), *SMALL)
    assert ended.code == 0
    assert [line.split()[0] for line in ended.out.splitlines()[1:-1]] == ["default", "bound"]


def test_invalid_sweeps_are_rejected(traced: Path, tmp_path: Path, vbench: Command) -> None:
    out = tmp_path / "points.parquet"
    end = ("-o", out)
    failed(vbench("sweep", *end), 2, "RUN")
    failed(vbench("sweep", tmp_path, *end), 2, f"{tmp_path} has no trace; record it again with vbench run --trace")
    failed(
        vbench("sweep", traced, "--policies", "wish", *end),
        2,
        "unknown policy group 'wish'",
        "choose from gates, searched",
    )
    failed(vbench("sweep", traced, "--points", "0", *end), 2, "--points")
    failed(vbench("sweep", traced, "--timing", tmp_path, *end), 2, "not a finished run")
    trace = random_trace(9, steps=3)
    other = save_trace(replace(trace, header=replace(trace.header, dataset="sthv1")), tmp_path / "other")
    failed(
        vbench("sweep", traced, other, *end), 2, "other uses sthv1 (top1)", "uses folder (top1)", "the same data set"
    )
    failed(vbench("sweep", traced, *SMALL, "-o", traced), 2, f"cannot write {traced}: Is a directory")
    failed(vbench("sweep", traced, *SMALL, "-o", "."), 2, "a folder, not a file")
    assert not out.exists()
    assert [path.name for path in traced.iterdir()] == ["trace.parquet"]


def test_tune_prints_a_table(traced: Path, tmp_path: Path, vbench: Command) -> None:
    out = tmp_path / "new" / "policy.json"
    ended = vbench("tune", traced, "--max-drop", "5", *SMALL, "-o", out)
    assert ended.code == 0
    policy, head, *rows, path = ended.out.splitlines()
    assert path == str(out)
    assert policy.split()[0] == read_policy(out).record()["kind"]
    assert head.split() == ["videos", "accuracy", "95", "%", "interval", "GFLOPs", "GMACs", "frames", "ms"]
    content = json.loads(out.read_text(encoding="utf-8"))
    for row, name in zip(rows, ("calibration", "held_out", "all_frames", "default")):
        assert f" {content[name]['accuracy']:.2f} %  " in row
        assert f" {content[name]['gmacs']:.4f}  " in row
    assert [row.split("  ")[0] for row in rows] == [
        "chosen on",
        "held out",
        "all frames, held out",
        "default, held out",
    ]
    assert "loss on the held-out videos: " in ended.err
    assert "no guarantee, see --delta" in ended.err


def test_tune_prints_one_document(traced: Path, tmp_path: Path, vbench: Command) -> None:
    out = tmp_path / "policy.json"
    ended = vbench(
        "tune", traced, "--target-ms", "30", "--policies", "fixed,entropy", "--seed", "4", *SMALL, "-o", out, "--json"
    )
    assert (ended.code, ended.err) == (0, "")
    document, content = json.loads(ended.out), json.loads(out.read_text(encoding="utf-8"))
    assert document.pop("file") == str(out)
    assert content.pop("schema_version") == 1
    assert document == content
    header = read_trace(traced).header
    assert content["tuned_on"] == {
        "run": str(traced),
        "bundle": header.bundle,
        "bundle_sha256": header.bundle_sha256,
        "dataset": header.dataset,
        "metric": "top1",
        "videos": 120,
        "seed": 4,
    }
    assert content["target"] == {"ms": 30.0}
    assert content["calibration"]["videos"] == content["held_out"]["videos"] == content["all_frames"]["videos"] == 60
    assert content["calibration"]["latency_ms"] <= 30
    assert content["all_frames"]["mean_frames"] == 5
    lost = content["all_frames"]["accuracy"] - content["held_out"]["accuracy"]
    assert content["drop"]["top1"] == pytest.approx(lost)
    assert content["promise_tested_on"] is None


def test_tune_guarantees_a_maximum_drop(traced: Path, tmp_path: Path, vbench: Command) -> None:
    out = tmp_path / "policy.json"
    ended = vbench("tune", traced, "--max-drop", "40", "--delta", "0.2", *SMALL, "-o", out)
    assert ended.code == 0
    assert "guaranteed: a drop of at most 40 points of top-1 with probability 0.8, tested on 30 videos" in ended.err
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["target"] == {"max_drop": 40.0, "delta": 0.2}
    assert content["promise_tested_on"] == 30


def test_a_missed_target_is_an_error(
    traced: Path, tmp_path: Path, vbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "policy.json"
    args = ("tune", traced, "--max-drop", "5", *SMALL, "-o", out)
    assert vbench(*args).code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["check"]["missed"] is False
    out.unlink()

    def miss(*_: object) -> TargetCheck:
        return TargetCheck("loss of top-1", "points", 7.5, Interval(6.25, 9.0), 5.0)

    monkeypatch.setattr("vbench.bench.sweep.tune.check_target", miss)
    words = "misses the target on the held-out videos: loss of top-1 7.5 points (6.25 .. 9) exceeds 5"
    ended = vbench(*args)
    failed(ended._replace(out=""), 4, words, f"{out} was not written; record more videos, or pass --allow-miss")
    assert ended.out.splitlines()[-1].startswith("default, held out")
    ended = vbench(*args, "--json")
    assert (ended.code, json.loads(ended.out)["file"]) == (4, None)
    assert not out.exists()
    ended = vbench(*args, "--allow-miss")
    assert ended.code == 0
    assert f"warning: the policy {words}" in ended.err
    assert json.loads(out.read_text(encoding="utf-8"))["check"] == {
        "quantity": "loss of top-1",
        "unit": "points",
        "value": 7.5,
        "interval": [6.25, 9.0],
        "limit": 5.0,
        "missed": True,
    }

    def within(*_: object) -> TargetCheck:
        return miss()._replace(interval=Interval(4.0, 9.0))

    monkeypatch.setattr("vbench.bench.sweep.tune.check_target", within)
    ended = vbench(*args)
    assert ended.code == 0
    assert "loss of top-1 7.5 points (4 .. 9) exceeds 5, which may be chance" in ended.err


def test_documents_are_valid_json_without_a_constant(tmp_path: Path, vbench: Command) -> None:
    run, out = save_trace(flexible_trace(60), tmp_path / "run"), tmp_path / "policy.json"
    ended = vbench("tune", run, "--target-ms", "80", *SMALL, "-o", out, "--json")
    assert ended.code == 0
    document = json.loads(ended.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["held_out"]["gflops_paper"] is None
    trace = random_trace(8, steps=3)
    run = save_trace(replace(trace, labels=(trace.labels[0], *[None] * 7)), tmp_path / "unlabeled")
    failed(vbench("tune", run, "--target-ms", "30", *SMALL, "-o", out, "--json"), 2, "all of one class")


def test_invalid_tuning_is_rejected(traced: Path, tmp_path: Path, vbench: Command) -> None:
    out = tmp_path / "policy.json"
    end = (*SMALL, "-o", out)
    failed(vbench("tune", traced, *end), 2, "expected exactly one target; pass one of --target-gflops")
    failed(vbench("tune", traced, "--max-drop", "1", "--target-ms", "9", *end), 2, "expected exactly one target")
    failed(vbench("tune", traced, "--target-ms", "9", "--delta", "0.1", *end), 2, "--delta requires --max-drop")
    failed(vbench("tune", tmp_path, "--max-drop", "1", *end), 2, "has no trace")
    failed(
        vbench("tune", traced, "--target-gflops", "4", *end),
        2,
        "no policy stays within 4 GFLOPs",
        "allow at least 4.12",
    )
    failed(vbench("tune", traced, "--target-ms", "1", *end), 2, "no policy stays within 1 ms; allow at least")
    failed(vbench("tune", traced, "--max-drop", "1", "--policies", "oracle", *end), 2, "cannot be run")
    failed(
        vbench("tune", traced, "--max-drop", "1", "--policies", "gates,wish", *end),
        2,
        "unknown policy group 'wish'",
    )
    failed(vbench("tune", traced, "--max-drop", "1", "--timing", tmp_path, *end), 2, "not a finished run")
    needed = 4 * videos_needed(0.01, 0.05)
    assert needed > 4 * math.log(1 / 0.05) / 0.01
    words = "30 videos are too few to guarantee a drop of at most 1 points with probability 0.95"
    failed(
        vbench("tune", traced, "--max-drop", "1", "--delta", "0.05", *end),
        4,
        words,
        f"at least {needed} labeled videos",
    )
    failed(
        vbench("tune", traced, "--max-drop", "5", *SMALL, "-o", tmp_path), 2, f"cannot write {tmp_path}: Is a directory"
    )
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
