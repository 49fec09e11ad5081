"""Features recorded with a trace: their values, resumption, and what reading them rejects."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.replay import export_demo
from vbench.bench.datasets.options import DataOptions
from vbench.bench.features import recorder, shards
from vbench.bench.features.features_file import Features, read_features
from vbench.bench.features.losses import cross_entropy
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import Progress, resume_run, start_run
from vbench.bench.trace.trace_file import read_trace
from vbench.errors import RunError, UsageError, VbenchError
from vbench.runtime.load import load
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipCost, ClipResult

VIDEOS = 11


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_demo(tmp_path_factory.mktemp("features") / "bundles")


def config(bundle: Path, **changed: object) -> RunConfig:
    options = RunConfig(str(bundle), data=DataOptions("demo", limit=VIDEOS), trace=True, features=True)
    return replace(options, **changed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_run(config(bundle), tmp_path_factory.mktemp("run") / "run", "").path


def all_states(features: Features) -> np.ndarray:
    return np.concatenate([features.states(number) for number in range(len(features.header.shards))])


def test_states_give_the_logits_gates_and_losses_of_the_trace(bundle: Path, run: Path) -> None:
    features, trace = read_features(run), read_trace(run)
    assert features.keys == trace.videos
    assert features.header.split == "validation"
    states = all_states(features).astype(np.float32)
    assert (np.diff(states, axis=1) >= 0).all()
    engine = load(bundle, "ort").engine
    numbers = np.ones((len(states), 1), np.float32)
    for step in (1, 5, 10):
        logits = engine.get(engine.run("classifiers", engine.put(states[:, step - 1]), engine.put(step * numbers)))
        np.testing.assert_allclose(logits, trace.logits[step - 1], atol=0.05)
    inputs = (engine.put(each) for each in (states[:, 3], states[:, 2], 4 * numbers))
    gates = engine.get(engine.run("gates", *inputs))
    np.testing.assert_allclose(gates[:, 0], trace.gates[3], atol=0.01)
    for place, label in enumerate(trace.labels):
        np.testing.assert_array_equal(features.losses[place], cross_entropy(trace.logits[:, place], label or ()))
    np.testing.assert_array_equal(features.right, trace.hits.T)
    np.testing.assert_allclose(features.confidences, trace.confidences[0], rtol=1e-6)


@pytest.mark.parametrize("sync", ["step", "speculative"])
def test_schedules_record_the_same_states(bundle: Path, run: Path, tmp_path: Path, sync: str) -> None:
    stream = StreamOptions("inflight", slots=3, prefetch=1, sync=sync)
    other = read_features(start_run(config(bundle, stream=stream), tmp_path / "run", "").path)
    expected = read_features(run)
    order = [other.keys.index(key) for key in expected.keys]
    np.testing.assert_allclose(all_states(other)[order], all_states(expected), atol=2e-3)


def test_a_run_without_features_keeps_no_states(bundle: Path, tmp_path: Path) -> None:
    path = start_run(config(bundle, features=False), tmp_path / "run", "").path
    assert not (path / "features").exists()


def test_an_interrupted_recording_resumes_at_a_full_shard(
    bundle: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (shards, recorder):
        monkeypatch.setattr(module, "SHARD_VIDEOS", 4)

    def stop(progress: Progress) -> None:
        if progress.done == 7:
            raise KeyboardInterrupt

    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        start_run(config(bundle), path, "", stop)
    with pytest.raises(RunError, match="recording is incomplete; finish it with vbench run --resume"):
        read_features(path)
    ran: list[str] = []
    resume_run(path, lambda progress: ran.append(progress.row.video))
    assert ran == [f"digit_{index:04d}" for index in range(4, VIDEOS)]
    features, expected = read_features(path), read_features(run)
    assert [shard.videos for shard in features.header.shards] == [4, 4, 3]
    assert features.keys == expected.keys
    np.testing.assert_array_equal(all_states(features), all_states(expected))


def remove(shard: Path) -> None:
    shard.unlink()


def truncate(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-100])


def other_values(shard: Path) -> None:
    np.save(shard, np.load(shard) + np.float16(1))


def other_shape(shard: Path) -> None:
    np.save(shard, np.load(shard)[1:])


def not_finite(shard: Path) -> None:
    states = np.load(shard)
    states[3, 2, 1] = np.nan
    np.save(shard, states)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "z_00000.npy is missing; copy"),
        (truncate, "z_00000.npy is truncated or damaged; copy"),
        (other_values, "does not belong to this recording"),
        (other_shape, r"is float16 \[10, 10, 256\], but should be float16 \[11, 10, 256\]"),
        (not_finite, "the features of video digit_0003 are not finite"),
    ],
)
def test_a_damaged_shard_is_rejected(run: Path, damage: Callable[[Path], None], message: str) -> None:
    shard = run / "features" / "z_00000.npy"
    content = shard.read_bytes()
    try:
        damage(shard)
        with pytest.raises(RunError, match=message):
            read_features(run)
    finally:
        shard.write_bytes(content)


def test_a_label_outside_the_classes_is_rejected(run: Path) -> None:
    header = run / "features" / "header.json"
    content = header.read_text()
    try:
        header.write_text(json.dumps({**json.loads(content), "classes": 5}))
        with pytest.raises(RunError, match="video digit_0005 has class 5, but there are only 5 classes"):
            read_features(run)
    finally:
        header.write_text(content)


def test_a_folder_without_features_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="contains no features; record them with vbench run --trace --features"):
        read_features(tmp_path)


def test_options_that_contradict_one_another_are_rejected(bundle: Path, tmp_path: Path) -> None:
    for changed, message in (
        ({"trace": False}, "add --trace"),
        ({"features": False, "split": "training"}, "add --features"),
        ({"split": "training"}, "--split training contradicts the data set demo, whose split is validation"),
    ):
        with pytest.raises(UsageError, match=message):
            start_run(config(bundle, **changed), tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def test_a_bundle_without_the_digest_is_refused(bundle: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copy = copytree(bundle, tmp_path / "old")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["trunk_sha256"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(VbenchError, match="export it again to record features"):
        start_run(config(copy), tmp_path / "run", "")


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_a_state_beyond_float16_becomes_the_error_of_its_video(value: float) -> None:
    state = np.array([1.0, value], np.float32)
    found = recorder.checked(ClipResult(0, None, None, (), ClipCost(), (state,)), "clip")
    assert "video clip: the features of step 1 are not finite, or above 65504" in str(found.error)


def test_of_several_labels_the_smallest_loss_counts() -> None:
    logits = np.array([[1, 3, 2]], np.float32)
    both = cross_entropy(logits, (0, 2))
    assert both == cross_entropy(logits, (2,)) < cross_entropy(logits, (0,))
    assert np.isnan(cross_entropy(logits, ())).all()


def change_header(**changed: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        header = folder / "header.json"
        header.write_text(json.dumps({**json.loads(header.read_text()), **changed}))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "header.json").write_text("{"), "header.json is not valid JSON"),
        (change_header(schema_version=99), "has schema version 99, expected 1; record the features again"),
        (change_header(steps="many"), "header.json is damaged: steps: input should be a valid integer"),
        (change_header(shards=[["../z_00000.npy", 11, "0" * 64]]), "they are not those of a recording"),
        (change_header(shards=[["z_00000.npy", 12, "0" * 64]]), "has 11 videos, unlike the header's shards"),
        (lambda folder: (folder / "videos.parquet").unlink(), "videos.parquet does not exist"),
        (lambda folder: (folder / "videos.parquet").write_bytes(b"PAR1"), "videos.parquet is not readable as Parquet"),
    ],
)
def test_a_damaged_header_or_table_is_rejected(
    run: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = shutil.copytree(run / "features", tmp_path / "features")
    damage(folder)
    with pytest.raises(RunError, match=re.escape(message)):
        read_features(folder)
