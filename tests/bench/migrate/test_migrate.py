"""``vbench migrate``: in-place conversion of files of the previous schema versions, without loss."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from tests.in_process import Ended, Vbench, in_process
from tests.step_parts import to_step_parts
from vbench.bench.compare.run_pair import read_pair
from vbench.bench.migrate import migrate
from vbench.bench.migrate.run_record import migrate_record
from vbench.bench.records.lock import RunLock
from vbench.bench.records.run_file import read_run, variant_runs
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.trace.trace_file import read_trace
from vbench.errors import MissingError, RunError
from vbench.export.heads.migrate import merge_steps
from vbench.runtime.bundle.bundle import MANIFEST, Bundle, open_bundle
from vbench.runtime.bundle.manifest import FlexibleManifest, FrameExitManifest

TENSOR = {"name": "x", "dtype": "float32", "shape": ["n", 3]}
FILE = {"path": "fp32/part.onnx", "size_bytes": 1, "sha256": "0" * 64}
PART = {"inputs": [TENSOR], "output": TENSOR, "macs": 10, "parameters": 2, "files": {"fp32": FILE}}
PREPROCESSING = {
    "input_size": 32,
    "resize_side": 36,
    "resize": "shorter_side_bilinear_truncated",
    "crops": ["center_half_to_even"],
    "channel_order": "rgb",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
}
GATES = {"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]}
CASCADE = {"kind": "cascade", "counts": [4, 8], "threshold": 0.9}
STREAM = {"schedule": "sequential", "slots": 1, "prefetch": 1, "workers": 1, "sync": "step"}
CONFIG = {
    "bundle": "bundles/tiny",
    "engine": "ort",
    "dataset": "folder",
    "data": "data/folder",
    "first_threshold": 0.95,
    "gate_thresholds": [0.5],
    "frames": None,
    "cascade": None,
    "budget_ms": None,
    "policy": None,
    "trace": False,
    "precision": "fp32",
    "threads": 2,
    "checkpoint": None,
    "limit": 6,
    "stream": STREAM,
    "device": None,
    "provider": "cuda",
    "graphs": None,
}
NO_THRESHOLDS = {"first_threshold": None, "gate_thresholds": None}


def manifest_3(family: str, parts: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    """A manifest of schema version 3."""
    return {
        "schema_version": 3,
        "family": family,
        "network": f"{family}_tiny",
        "classes": 2,
        "class_names": None,
        "preprocessing": PREPROCESSING,
        "parts": dict.fromkeys(("preprocess", *parts), PART),
        "weights": {},
        "precisions": ["fp32"],
        "precision_details": {},
        "source": {"path": "../tiny.pth", "size_bytes": 1, "sha256": "1" * 64},
        "versions": {"vbench": "0.1.0"},
        "created": "2026-01-01T00:00:00+00:00",
        "checks": {},
        **fields,
    }


def flexible_3(family: str) -> dict[str, Any]:
    counts = {"frame_counts": [4, 8], "branches": [1, 2]}
    return manifest_3(family, ("frames_04", "frames_08"), **counts, sampling="segment_centres", layout="folded")


def record_3(config: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A ``run.json`` of schema version 3."""
    config = {**CONFIG, **(config or {})}
    return {
        "schema_version": 3,
        "created": "2026-01-01T00:00:00+00:00",
        "command": "vbench run --dataset folder",
        "bundle": {"name": "tiny", "network": "frameexit_tiny", "sha256": "e" * 64},
        "engine": config["engine"],
        "engine_details": {"onnxruntime": "1.22.0"},
        "dataset": config["dataset"],
        "policy": GATES,
        "schedule": config["stream"],
        "config": config,
        "machine": {"processor": "Some CPU", "cores": 4},
        "versions": {"vbench": "0.1.0"},
        "videos": 2,
        "left_out": [{"video": "a/notes.txt", "reason": "not a video"}],
        "complete": True,
        "metrics": {
            "metric": "top1",
            "accuracy": 50.0,
            "gmacs_in_vain": 0.5,
            "frames": {"used": 3, "read": 5, "in_vain": 2, "decoded": 5, "forced": 0, "replaced": 0},
        },
        **changes,
    }


def save_bundle(folder: Path, manifest: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def save_run(folder: Path, record: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    columns = {
        "video": ["a/1", "a/2"],
        "label": [[0], [1]],
        "prediction": [0, 0],
        "probability": [0.9, 0.6],
        "frames_used": [1, 2],
        "gmacs": [1.0, 2.0],
        "gmacs_in_vain": [0.25, 0.75],
        "latency_ms": [3.0, 4.0],
        "elapsed_ms": [3.0, 4.0],
        "error": [None, None],
    }
    polars.DataFrame(columns).write_parquet(folder / "predictions.parquet")
    return folder


def save_trace(folder: Path, version: int = 1, **changes: Any) -> Path:
    """Write a trace of two videos and two steps, of schema version 1."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "bundle": "tiny",
        "bundle_sha256": "e" * 64,
        "family": "frameexit",
        "engine": "ort",
        "precision": "fp32",
        "dataset": "folder",
        "metric": "top1",
        "classes": 2,
        "costs": {"frames": [1, 1], "macs": [9, 9], "gate_macs": [0, 0], "classifier_macs": [1, 1]},
        "paper_gmacs_per_frame": None,
        "default_policy": GATES,
        "errors": 1,
        "schema_version": version,
        **changes,
    }
    logits = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
    table = polars.DataFrame(
        {
            "video": ["a/1", "a/1", "a/2", "a/2"],
            "label": polars.Series([[0], [0], None, None], dtype=polars.List(polars.Int32)),
            "step": polars.Series([1, 2, 1, 2], dtype=polars.Int32),
            "gate": polars.Series([None] * 4, dtype=polars.Float64),
            "prediction": polars.Series([0, 1, 1, 1], dtype=polars.Int32),
            "confidence": [0.1 + 0.2, 0.75, 0.9, 0.5],
            "entropy": [0.5, 0.25, 0.125, 1.0],
            "logits": polars.Series(logits, dtype=polars.Array(polars.Float32, 2)),
            "elapsed_ms": [1.0, 2.0, 3.0, 4.0],
            "latency_ms": [1.0, 2.0, 3.0, 4.0],
        }
    )
    table.write_parquet(folder / "trace.parquet", metadata={"vbench.trace": json.dumps(header)})
    return folder / "trace.parquet"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def converted(run: Path, record: Mapping[str, Any]) -> Any:
    """The converted record after a JSON round trip."""
    return json.loads(json.dumps(migrate_record(run, record)))


def refused(ended: Ended, *words: str | Path) -> None:
    """Check that a command ended with exit code 2 and one line that contains these words."""
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    for word in words:
        assert str(word) in ended.err


@pytest.fixture
def vbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vbench:
    return in_process(monkeypatch, capsys)


# bundles


@pytest.mark.parametrize(("recorded", "kept"), [(0.95, None), (0.9, 0.9)], ids=["the former default", "given"])
def test_a_frameexit_bundle(
    vbench: Vbench, tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, recorded: float, kept: float | None
) -> None:
    """For its parts, see test_step_parts.py."""
    bundle = to_step_parts(Path(shutil.copytree(tiny_bundle.path, tmp_path / "tiny")), 3, recorded)
    refused(vbench("inspect", bundle), f"schema version 3, from an older vbench; run vbench migrate {bundle}")
    assert vbench("migrate", bundle).out.startswith(f"{bundle / MANIFEST}: bundle, schema 3 -> 4")
    manifest = open_bundle(bundle).manifest
    assert isinstance(manifest, FrameExitManifest)
    expected = tiny_bundle.manifest
    assert (manifest.family, manifest.architecture, manifest.network) == ("frameexit", "frameexit", expected.network)
    assert (manifest.policy.first_threshold, manifest.policy.gate_threshold) == (kept, 0.5)
    assert manifest.policy.dataset is None
    assert vbench("migrate", bundle) == Ended(0, f"{bundle / MANIFEST}: bundle, schema 4, already current\n", "")


@pytest.mark.parametrize("family", ["tsm", "tea", "slowfast", "uniformer"])
def test_a_bundle_of_frame_counts(vbench: Vbench, tmp_path: Path, family: str) -> None:
    bundle = save_bundle(tmp_path / "tiny", flexible_3(family))
    assert vbench("migrate", bundle / MANIFEST).code == 0
    manifest = open_bundle(bundle).manifest
    assert isinstance(manifest, FlexibleManifest)
    assert (manifest.family, manifest.architecture, manifest.frame_counts) == ("frame_counts", family, (4, 8))
    old = {name: value for name, value in flexible_3(family).items() if name not in ("schema_version", "family")}
    new = manifest.model_dump(mode="json")
    new["source"] = {name: value for name, value in new["source"].items() if value is not None}
    assert {name: new[name] for name in old} == old


# runs


def test_a_run(vbench: Vbench, tmp_path: Path) -> None:
    stream = {"schedule": "inflight", "slots": 4, "prefetch": 2, "workers": 1, "sync": "late"}
    old = record_3({"stream": stream}, command="vbench run --first-threshold 0.95 --sync late")
    run = save_run(tmp_path / "run", old)
    table = polars.read_parquet(run / "predictions.parquet")
    refused(vbench("compare", run, run), f"schema version 3, expected 4; run vbench migrate {run}")
    assert vbench("migrate", run).out.splitlines() == [
        f"{run / 'run.json'}: run, schema 3 -> 4",
        f"{run / 'predictions.parquet'}: predictions, schema 3 -> 4",
    ]
    record = read_run(run, finished=True)
    new = record.content
    same = ("created", "command", "bundle", "engine", "dataset", "policy", "machine", "versions", "videos", "left_out")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert (new["engine_details"], new["variant"], new["step_frames"]) == ({"onnxruntime": "1.22.0"}, None, None)
    assert new["policy_label"] == "frameexit first=0.95 gate=0.5"
    assert new["policy_sources"] == {"first_threshold": "--first-threshold", "gate_thresholds": "the bundle"}
    assert new["schedule"] == {**stream, "sync": "speculative"}
    assert new["config"] == {
        "bundle": "bundles/tiny",
        "trace": False,
        "engine": {
            "precision": "fp32",
            "threads": 2,
            "checkpoint": None,
            "engine": "ort",
            "device": None,
            "provider": "cuda",
            "graphs": None,
            "max_flips": None,
            "replicas": 1,
        },
        "data": {"dataset": "folder", "data": "data/folder", "limit": 6},
        "stream": {**stream, "sync": "speculative", "mode": "throughput"},
        "policy": {
            "gates": None,
            "first_threshold": 0.95,
            "gate_thresholds": None,
            "frames": None,
            "cascade": None,
            "budget_ms": None,
            "policy": None,
        },
    }
    assert RunConfig.from_record(new["config"], "the test").record() == new["config"]
    frames = {"used": 3, "read": 5, "unused": 2, "decoded": 5, "forced": 0, "replaced": 0}
    assert new["metrics"] == {"metric": "top1", "accuracy": 50.0, "gmacs_wasted": 0.5, "frames": frames}
    found = polars.read_parquet(run / "predictions.parquet")
    assert found.equals(table.rename({"gmacs_in_vain": "gmacs_wasted"}))
    assert read_pair(run, run).sides[0].policy_label == new["policy_label"]
    assert sorted(contents(run)) == ["predictions.parquet", "run.json"]


@pytest.mark.parametrize(
    ("command", "dataset", "first", "choices", "sources"),
    [
        ("vbench run", "folder", 0.95, NO_THRESHOLDS, ("vbench's default", "the bundle")),
        (
            "vbench audit --against torch",
            "activitynet",
            0.99,
            NO_THRESHOLDS,
            ("the data set activitynet", "the bundle"),
        ),
        ("vbench demo", "minikinetics", 0.95, NO_THRESHOLDS, ("the data set minikinetics", "the bundle")),
        (
            "vbench run --gate-threshold=0.5",
            "folder",
            0.9,
            {"first_threshold": None, "gate_thresholds": [0.5]},
            ("the data set folder", "--gate-threshold"),
        ),
        (
            "a script's 'own words",
            "folder",
            0.95,
            {"first_threshold": 0.95, "gate_thresholds": [0.5]},
            ("--first-threshold", "--gate-threshold"),
        ),
    ],
)
def test_sources_of_thresholds(
    tmp_path: Path, command: str, dataset: str, first: float, choices: dict[str, Any], sources: tuple[str, str]
) -> None:
    policy = {**GATES, "first_threshold": first}
    record = record_3({"dataset": dataset, "first_threshold": first}, command=command, policy=policy)
    new = converted(tmp_path, record)
    assert {name: new["config"]["policy"][name] for name in choices} == choices
    assert tuple(new["policy_sources"].values()) == sources
    assert new["policy"] == policy


@pytest.mark.parametrize(
    ("config", "policy", "choices", "label", "steps"),
    [
        ({"trace": True}, {"kind": "everything"}, {}, "everything", None),
        (
            {"policy": {"kind": "fixed", "steps": 3}},
            {"kind": "fixed", "steps": 3},
            {"policy": {"kind": "fixed", "steps": 3}},
            "fixed step=3",
            None,
        ),
        ({"frames": [8]}, {"kind": "frames", "frames": 8}, {"frames": [8]}, "8 frames", [8]),
        ({"frames": [4, 8], "cascade": 0.9}, CASCADE, {"cascade": 0.9}, "cascade 4, 8 above 0.9", [4, 8]),
        (
            {"frames": [8], "budget_ms": 30.0},
            {"kind": "frames", "frames": 8, "budget_ms": 30.0},
            {"budget_ms": 30.0},
            "8 frames, within 30 ms",
            [8],
        ),
    ],
    ids=["trace", "policy", "frame count", "cascade", "budget"],
)
def test_other_policies(
    tmp_path: Path,
    config: dict[str, Any],
    policy: dict[str, Any],
    choices: dict[str, Any],
    label: str,
    steps: list[int] | None,
) -> None:
    new = converted(tmp_path, record_3({**NO_THRESHOLDS, **config}, policy=policy))
    assert {name: value for name, value in new["config"]["policy"].items() if value is not None} == choices
    assert (new["policy"], new["policy_label"], new["policy_sources"]) == (policy, label, {})
    assert new["step_frames"] == steps
    RunConfig.from_record(new["config"], "the test")


def at(frames: int, command: str = "vbench run --limit 2") -> dict[str, Any]:
    policy = {"kind": "frames", "frames": frames}
    return record_3({**NO_THRESHOLDS, "frames": [frames]}, policy=policy, command=command)


def test_old_runs_at_several_counts_name_the_command(vbench: Vbench, tmp_path: Path) -> None:
    for frames in (4, 8):
        save_run(tmp_path / "ffn" / f"frames_{frames:02d}", at(frames))
    assert len(variant_runs(tmp_path / "ffn")) == 2
    refused(vbench("run", "--resume", tmp_path / "ffn"), f"run vbench migrate {tmp_path / 'ffn' / 'frames_04'}")


def test_variants_are_recognized(vbench: Vbench, tmp_path: Path) -> None:
    for frames in (4, 8):
        save_run(tmp_path / "ffn" / f"frames_{frames:02d}", at(frames))
    save_run(tmp_path / "ffn" / "frames_16", at(16, command="vbench run --frames 16"))
    save_run(tmp_path / "alone" / "frames_04", at(4))
    assert vbench("migrate", tmp_path).code == 0
    runs = [tmp_path / "ffn" / name for name in ("frames_04", "frames_08", "frames_16")]
    assert [read_run(run).content["variant"] for run in runs] == ["frames_04", "frames_08", None]
    assert variant_runs(tmp_path / "ffn") == runs[:2]
    assert read_run(tmp_path / "alone" / "frames_04").content["variant"] is None


def test_a_run_that_did_not_finish_is_refused(vbench: Vbench, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", record_3(complete=False, metrics=None))
    before = contents(tmp_path)
    refused(
        vbench("migrate", run),
        run,
        "is an unfinished run with schema version 3",
        "finish it with the vbench version that started it",
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("lost", ["config", "policy", "machine", "metrics"])
def test_a_damaged_record(vbench: Vbench, tmp_path: Path, lost: str) -> None:
    run = save_run(tmp_path / "run", {name: value for name, value in record_3().items() if name != lost})
    before = contents(tmp_path)
    refused(vbench("migrate", run), run, f"the record is damaged (KeyError('{lost}')); repeat the run")
    assert contents(tmp_path) == before


# traces


@pytest.mark.parametrize(
    ("family", "policy", "renamed", "sources"),
    [
        ("frameexit", GATES, "frameexit", {"first_threshold": "vbench's default", "gate_thresholds": "the bundle"}),
        ("tsm", {"kind": "frames", "frames": 8}, "frame_counts", {}),
    ],
)
def test_a_trace(
    vbench: Vbench, tmp_path: Path, family: str, policy: dict[str, Any], renamed: str, sources: dict[str, str]
) -> None:
    path = save_trace(tmp_path, family=family, default_policy=policy)
    table, header = polars.read_parquet(path), json.loads(polars.read_parquet_metadata(path)["vbench.trace"])
    with pytest.raises(RunError, match=f"has schema version 1, expected 2; run vbench migrate {path}"):
        read_trace(tmp_path)
    assert vbench("migrate", path) == Ended(0, f"{path}: trace, schema 1 -> 2\n", "")
    found = polars.read_parquet(path)
    assert found.schema == table.schema
    assert found.equals(table)
    new = json.loads(polars.read_parquet_metadata(path)["vbench.trace"])
    changes = {"schema_version": 2, "family": renamed, "default_policy_sources": sources}
    assert new == {**header, **changes}
    trace = read_trace(tmp_path)
    assert (trace.videos, trace.labels, trace.header.errors) == (("a/1", "a/2"), ((0,), None), 1)
    assert trace.default_policy.record() == policy
    assert vbench("migrate", tmp_path).out == f"{path}: trace, schema 2, already current\n"


# several files


def test_a_project(vbench: Vbench, tmp_path: Path) -> None:
    """A file that cannot be migrated does not prevent the migration of the others."""
    bundle = save_bundle(tmp_path / "bundles" / "tiny", flexible_3("tsm"))
    good = save_run(tmp_path / "runs" / "good", record_3())
    save_trace(good)
    bad = save_run(tmp_path / "runs" / "bad", record_3(complete=False))
    newer = save_run(tmp_path / "runs" / "newer", {**record_3(), "schema_version": 5})
    save_run(tmp_path / "runs" / ".hidden", record_3())
    ended = vbench("migrate", tmp_path, good)
    assert ended.code == 2
    assert ended.out.splitlines() == [
        f"{bundle / MANIFEST}: bundle, schema 3 -> 4",
        f"{good / 'run.json'}: run, schema 3 -> 4",
        f"{good / 'predictions.parquet'}: predictions, schema 3 -> 4",
        f"{good / 'trace.parquet'}: trace, schema 1 -> 2",
    ]
    first, second, last = ended.err.splitlines()
    assert first.startswith(f"{bad} is an unfinished run with schema version 3")
    assert second == f"{newer}: run.json has schema version 5, expected 4; update vbench"
    assert last == "vbench: 2 of 4 cannot be migrated; see the errors above"
    read_run(good, finished=True)
    read_trace(good)


def test_dry_run_and_json(vbench: Vbench, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", record_3())
    before = contents(tmp_path)
    assert vbench("migrate", run, "--dry-run").out.splitlines()[0] == (
        f"{run / 'run.json'}: run, schema 3 -> 4 (not written)"
    )
    file = {"kind": "run", "schema_before": 3, "schema_after": 4, "changed": True, "detail": None}
    expected = [
        {"path": str(run / "run.json"), **file},
        {"path": str(run / "predictions.parquet"), **file, "kind": "predictions"},
    ]
    dry = json.loads(vbench("migrate", run, "--dry-run", "--json").out)
    assert dry == {"dry_run": True, "files": expected, "errors": []}
    assert contents(tmp_path) == before
    assert json.loads(vbench("migrate", run, "--json").out) == {**dry, "dry_run": False}
    current = {**expected[0], "schema_before": 4, "changed": False}
    assert json.loads(vbench("migrate", run, "--json").out)["files"] == [current]


@pytest.mark.parametrize(
    ("version", "words"),
    [(2, "export the checkpoint again"), (5, "update vbench"), ("3", "export the checkpoint again")],
)
def test_other_versions_of_a_bundle(vbench: Vbench, tmp_path: Path, version: object, words: str) -> None:
    bundle = save_bundle(tmp_path / "tiny", {**flexible_3("frame_counts"), "schema_version": version})
    refused(vbench("migrate", bundle), bundle / MANIFEST, words)


@pytest.mark.parametrize(("version", "words"), [(2, "repeat the run"), (5, "update vbench"), (None, "repeat the run")])
def test_other_versions_of_a_run(vbench: Vbench, tmp_path: Path, version: object, words: str) -> None:
    run = save_run(tmp_path / "run", {**record_3(), "schema_version": version})
    refused(vbench("migrate", run), run, f"schema version {version}, expected 4", words)


@pytest.mark.parametrize(("version", "words"), [(0, "record it again"), (3, "update vbench")])
def test_other_versions_of_a_trace(vbench: Vbench, tmp_path: Path, version: int, words: str) -> None:
    refused(vbench("migrate", save_trace(tmp_path, version)), f"schema version {version}, expected 2", words)


def test_a_run_that_another_process_writes(vbench: Vbench, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", record_3())
    held = RunLock(run)
    refused(vbench("migrate", run), run, "is being written to by process ")
    held.release(run)
    assert vbench("migrate", run).code == 0
    assert not (run / ".lock").exists()


def test_nothing_to_migrate(vbench: Vbench, tmp_path: Path) -> None:
    refused(vbench("migrate", tmp_path), f"{tmp_path} contains no bundles, runs or traces")
    refused(vbench("migrate", tmp_path / "nowhere"), "nowhere does not exist; pass a bundle")
    (tmp_path / "notes.txt").touch()
    refused(vbench("migrate", tmp_path / "notes.txt"), "notes.txt is not readable as Parquet")
    save_bundle(tmp_path / "broken", flexible_3("tsm") | {"policy": {}})
    refused(vbench("migrate", tmp_path / "broken"), MANIFEST, "is damaged (KeyError('first_threshold'))")


# interruptions


@pytest.mark.parametrize("name", ["write_table", "write_trace_table"])
def test_an_interruption_leaves_the_old_files(
    vbench: Vbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def interrupt(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    run = save_run(tmp_path / "run", record_3())
    save_trace(run)
    before = contents(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(migrate, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            migrate.migrate_target(run, merge_steps)
    assert contents(tmp_path) == before
    assert vbench("migrate", run).code == 0
    read_run(run, finished=True)


def test_a_full_disk_leaves_the_old_files(tmp_path: Path) -> None:
    save_trace(save_run(tmp_path / "run", record_3()))
    before = contents(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MissingError, match="no space left on the disk"):
            migrate.migrate_target(tmp_path / "run", merge_steps)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == before


def test_a_folder_that_was_migrated_in_part(vbench: Vbench, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", record_3())
    old = (run / "run.json").read_bytes()
    vbench("migrate", run)
    (run / "run.json").write_bytes(old)
    save_trace(run)
    assert vbench("migrate", run).out.splitlines() == [
        f"{run / 'run.json'}: run, schema 3 -> 4",
        f"{run / 'trace.parquet'}: trace, schema 1 -> 2",
    ]
