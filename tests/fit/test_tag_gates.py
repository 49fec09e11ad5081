"""Gates of a network for tags, from recorded training videos to runs of the fitted sets."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bundle_cache import cached_export
from tests.in_process import in_process
from tests.tags import CATEGORIES, HVU, TAGS, save_tag_checkpoint, write_hvu
from vbench.bench.datasets.options import DataOptions
from vbench.bench.features import recorder, shards
from vbench.bench.features.features_file import read_features
from vbench.bench.features.losses import binary_cross_entropy
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.records.tables import read_predictions
from vbench.bench.run.run import Progress, resume_run, start_run
from vbench.bench.stats.tag_precision import ArrayScores, TagLabels, tag_map
from vbench.bench.trace.replay import exit_steps, predictions
from vbench.bench.trace.trace_file import read_trace
from vbench.errors import CheckpointError, RunError, UsageError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.fit.fit_gates import FitOptions, fit_checkpoint
from vbench.fit.held_out import operating_point
from vbench.runtime.bundle.bundle import open_bundle
from vbench.runtime.load import load
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.scheduler.results import ClipCost, ClipResult, Step

RECORDED, REPORTED = 180, 16


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its bundle, and HVU with both lists."""
    root = tmp_path_factory.mktemp("tag_gates")
    save_tag_checkpoint(root / "checkpoint.pth")
    cached_export(root / "checkpoint.pth", root / "bundles" / "tags", ExportOptions(input_size=32, dataset=HVU))
    write_hvu(root / "hvu", "train.csv", RECORDED, "train")
    write_hvu(root / "hvu", "val.csv", REPORTED)
    return root


def config(root: Path, dataset: str = "hvu_train", bundle: str = "bundles/tags", **given: object) -> RunConfig:
    return RunConfig(str(root / bundle), data=DataOptions(dataset, root / "hvu"), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recorded(root: Path) -> Path:
    return start_run(config(root, trace=True, features=True), root / "recorded", "").path


@pytest.fixture(scope="module")
def fitted(root: Path, recorded: Path) -> Path:
    """The folder of gate sets, with their bundle in ``checkpoint``."""
    gates = root / "gates"
    options = FitOptions(points=3, epochs=3, threads=1)
    first = fit_checkpoint(root / "checkpoint.pth", recorded, gates, options)[0].checkpoint
    export_checkpoint(first, gates / "checkpoint", ExportOptions(gate_sets=gates, dataset=HVU))
    return gates


def test_losses_and_logits_are_those_of_the_trace(recorded: Path) -> None:
    features, trace = read_features(recorded), read_trace(recorded)
    header = features.header
    assert (header.dataset, header.split, header.loss) == ("hvu_train", "training", "binary_cross_entropy")
    assert (header.categories, header.first_threshold, header.classes) == (CATEGORIES, 1.0, len(TAGS))
    order = [trace.videos.index(key) for key in features.keys]
    assert features.labels == tuple(trace.labels[place] for place in order)
    logits = trace.logits[:, order].transpose(1, 0, 2)
    np.testing.assert_array_equal(features.logits(0), logits.astype(np.float16))
    for found, each, label in zip(features.losses, logits, features.labels):
        np.testing.assert_array_equal(found, binary_cross_entropy(each, label, CATEGORIES))
    np.testing.assert_allclose(features.confidences, trace.confidences[0, order], rtol=1e-6)


def test_an_interrupted_recording_resumes_at_a_full_shard_of_both_kinds(
    root: Path, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (shards, recorder):
        monkeypatch.setattr(module, "SHARD_VIDEOS", 4)

    def stop(progress: Progress) -> None:
        if progress.done == 10:
            raise KeyboardInterrupt

    path, limited = tmp_path / "run", config(root, trace=True, features=True)
    limited = replace(limited, data=replace(limited.data, limit=11))
    with pytest.raises(KeyboardInterrupt):
        start_run(limited, path, "", stop)
    (path / "features" / "logits_00001.npy").unlink()
    ran: list[str] = []
    resume_run(path, lambda progress: ran.append(progress.row.video))
    assert len(ran) == 7
    found, expected = read_features(path), read_features(recorded)
    assert [(each.file, each.videos) for each in found.header.logits][1:] == [
        ("logits_00001.npy", 4),
        ("logits_00002.npy", 3),
    ]
    np.testing.assert_array_equal(np.concatenate([found.logits(each) for each in range(3)]), expected.logits(0)[:11])


def test_logits_beyond_float16_are_stored_as_its_extremes(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    writer = recorder.FeatureRecorder(tmp_path, read_features(recorded).header)
    state, logits = np.zeros(24, np.float32), np.array([1e6, -1e6, 1.0], np.float32)
    writer.add(ClipResult(0, None, None, (Step(None, logits, None, 0.0, 0.0),), ClipCost(), (state,)))
    writer.finish([])
    found = np.load(tmp_path / "features" / "logits_00000.npy")
    np.testing.assert_array_equal(found, [[[65504, -65504, 1]]])


def test_the_operating_point_is_the_map_of_the_held_out_videos(recorded: Path) -> None:
    features, rng = read_features(recorded), np.random.default_rng(1)
    chosen = rng.random(len(features.keys)) < 0.4
    values = rng.uniform(0, 0.7, (int(chosen.sum()), features.header.steps - 2)).astype(np.float32)
    found = operating_point(features, chosen, values, 1.0)
    steps = np.array([next((t for t, value in enumerate(row, start=1) if value > 0.5), 9) for row in values])
    labels = TagLabels([label for label, is_chosen in zip(features.labels, chosen) if is_chosen], CATEGORIES)
    for name, at in (("map", steps), ("map_all_frames", np.full_like(steps, 9))):
        scores = features.logits(0)[chosen][np.arange(len(steps)), at].astype(np.float32)
        assert found[name] == pytest.approx(100 * tag_map(ArrayScores(scores), labels), abs=1e-9)
    assert found["mean_frames"] == pytest.approx(steps.mean() + 1)
    assert (found["map_tags"], found["exits"][0], sum(found["exits"])) == (12, 0, chosen.sum())


def test_the_sets_and_their_bundle_are_for_a_sigmoid(fitted: Path) -> None:
    records = [json.loads(path.read_text()) for path in sorted(fitted.glob("*.json"))]
    assert len(records) == 3
    for record in records:
        assert (record["probabilities"], record["first_threshold"]) == ("sigmoid", 1.0)
        assert record["features"] == {"dataset": "hvu_train", "split": "training", "loss": "binary_cross_entropy"}
        assert record["held_out"]["exits"][0] == 0
        assert 0 < record["held_out"]["map"] <= 100
    manifest = json.loads((fitted / "checkpoint" / "manifest.json").read_text())
    assert manifest["probabilities"] == "sigmoid"
    assert {each["first_threshold"] for each in manifest["gate_sets"].values()} == {1.0}


def test_a_replay_equals_a_run_for_every_set(root: Path, fitted: Path) -> None:
    bundle = str((fitted / "checkpoint").relative_to(root))
    trace = read_trace(start_run(config(root, "hvu", bundle, trace=True), root / "trace", "").path)
    means = []
    for name, policy in trace.set_policies.items():
        run = start_run(config(root, "hvu", bundle, policy=PolicyChoice(gates=name)), root / f"run_{name}", "").path
        steps, real = exit_steps(policy, trace), read_predictions(run)
        np.testing.assert_array_equal(real["exit_step"].to_numpy(), steps)
        np.testing.assert_array_equal(real["prediction"].to_numpy(), predictions(trace, steps))
        assert steps.min() > 1
        means.append(steps.mean())
    assert len(means) == 3
    assert load(fitted / "checkpoint", "ort", gates=name, first_threshold=0.5).policy.threshold_at(1) == 0.5


def test_the_command_prints_the_map_and_exports_a_sigmoid(
    root: Path,
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    vbench = in_process(monkeypatch, capsys)
    options = ("--points", "2", "--epochs", "1", "--threads", "1")
    ended = vbench("fit-gates", root / "checkpoint.pth", recorded, "-o", tmp_path / "gates", *options)
    assert ended.code == 0, ended.err
    assert "mAP" in ended.out
    assert "top-1" not in ended.out
    manifest = open_bundle(tmp_path / "gates" / "checkpoint").manifest
    assert (manifest.output, len(manifest.gate_sets)) == ("sigmoid", 2)  # type: ignore[attr-defined]


def test_reporting_splits_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--split training contradicts the data set hvu, whose split is validation"):
        start_run(config(root, "hvu", trace=True, features=True, split="training"), tmp_path / "run", "")
    run = start_run(config(root, "hvu", trace=True, features=True), tmp_path / "run", "").path
    with pytest.raises(RunError, match="holds the validation videos of hvu, which results are reported on"):
        fit_checkpoint(root / "checkpoint.pth", run, tmp_path / "gates", FitOptions((1e-2,)))


def test_too_few_videos_are_refused(root: Path, tmp_path: Path) -> None:
    limited = config(root, trace=True, features=True)
    run = start_run(replace(limited, data=replace(limited.data, limit=20)), tmp_path / "run", "").path
    with pytest.raises(RunError, match="has 20 labeled videos, too few to fit gates on; record at least 160"):
        fit_checkpoint(root / "checkpoint.pth", run, tmp_path / "gates", FitOptions((1e-2,)))


def test_videos_without_a_tag_are_left_out(root: Path, recorded: Path, tmp_path: Path) -> None:
    """No category of theirs is known to be annotated."""
    import polars

    folder = shutil.copytree(recorded / "features", tmp_path / "features")
    table, steps = polars.read_parquet(folder / "videos.parquet"), read_features(recorded).header.steps
    for none, said in ((10, None), (RECORDED, "has 0 labeled videos")):
        unknown = polars.int_range(len(table)) < none
        table.with_columns(
            label=polars.when(unknown).then(polars.lit([], polars.List(polars.Int32))).otherwise("label"),
            loss=polars.when(unknown)
            .then(polars.lit([float("nan")] * steps, polars.List(polars.Float32)))
            .otherwise("loss"),
        ).write_parquet(folder / "videos.parquet")
        if said is None:
            (found,) = fit_checkpoint(
                root / "checkpoint.pth", folder, tmp_path / "gates", FitOptions((1e-2,), epochs=1)
            )
            assert (found.record["fitting_videos"], found.record["held_out_videos"]) == (153, 17)
        else:
            with pytest.raises(RunError, match=said):
                fit_checkpoint(root / "checkpoint.pth", folder, tmp_path / "other", FitOptions((1e-2,)))


def test_classes_without_categories_are_all_annotated(root: Path, recorded: Path, tmp_path: Path) -> None:
    """As with ActivityNet's labels and a sigmoid: the loss is over all classes, and the mAP is the same mean."""
    folder = shutil.copytree(recorded / "features", tmp_path / "features")
    change_header(categories=None)(folder)
    options = FitOptions((1e-2,), epochs=1, threads=1)
    (without,) = fit_checkpoint(root / "checkpoint.pth", folder, tmp_path / "without", options)
    (usual,) = fit_checkpoint(root / "checkpoint.pth", recorded, tmp_path / "usual", options)
    assert without.record == usual.record


def change_header(**changed: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        header = folder / "header.json"
        header.write_text(json.dumps({**json.loads(header.read_text()), **changed}))

    return change


def other_logits(folder: Path) -> None:
    path = folder / "logits_00000.npy"
    np.save(path, np.load(path) + np.float16(1))


def infinite_logits(folder: Path) -> None:
    path = folder / "logits_00000.npy"
    logits = np.load(path)
    logits[3, 2, 1] = np.inf
    np.save(path, logits)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_header(loss="hinge"), "unknown loss 'hinge', expected cross_entropy or binary_cross_entropy; record"),
        (change_header(loss="cross_entropy"), "shards: they are not those of a recording"),
        (change_header(logits=[]), "shards: they are not those of a recording"),
        (change_header(categories=["action"]), "header.json is damaged: categories: 1 for 12 classes"),
        (change_header(categories=None, classes=5), "has class 5, but there are only 5 classes"),
        (lambda folder: (folder / "logits_00000.npy").unlink(), "logits_00000.npy is missing; copy"),
        (other_logits, "logits_00000.npy does not belong to this recording"),
        (infinite_logits, "logits_00000.npy: the features of video train_00003_000003_000005.mp4 are not finite"),
    ],
)
def test_damaged_recordings_are_rejected(
    recorded: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = shutil.copytree(recorded / "features", tmp_path / "features")
    damage(folder)
    with pytest.raises(RunError, match=re.escape(message)):
        read_features(folder)


def test_sets_of_other_probabilities_are_rejected(fitted: Path, tmp_path: Path) -> None:
    first = min(fitted.glob("*.json")).with_suffix(".pth")
    with pytest.raises(
        CheckpointError, match=r"fitted to a sigmoid loss, but the .* come from a softmax; add --probabilities sigmoid"
    ):
        export_checkpoint(first, tmp_path / "bundle", ExportOptions(gate_sets=fitted))
    folder = tmp_path / "gates"
    folder.mkdir()
    for path in (*fitted.glob("*.json"), *fitted.glob("*.pth")):
        shutil.copy(path, folder)
    for path in folder.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "probabilities": "softmax"}))
    with pytest.raises(CheckpointError, match=r"fitted to a softmax loss, but the .* come from a sigmoid"):
        export_checkpoint(folder / first.name, tmp_path / "bundle", ExportOptions(gate_sets=folder, dataset=HVU))
