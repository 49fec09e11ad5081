"""HVU from the checkpoint to the comparison, with a tiny network and twelve tags."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bundle_cache import cached_export
from tests.tags import CATEGORIES, HVU, save_tag_checkpoint, write_hvu
from vbench.bench.compare.agreement import agreement
from vbench.bench.compare.compare import compare
from vbench.bench.compare.metric_deltas import MetricDelta
from vbench.bench.datasets import load_dataset
from vbench.bench.datasets.options import DataOptions
from vbench.bench.explain.explain import explain
from vbench.bench.records.answers import read_answers
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.records.tables import read_probabilities
from vbench.bench.run.run import start_run
from vbench.bench.stats.tag_precision import PROTOCOLS, ArrayScores, TagLabels, TagProtocol, tag_map
from vbench.bench.sweep.sweep import read_sources, sweep
from vbench.bench.sweep.target import Target
from vbench.bench.sweep.tune import tune
from vbench.bench.trace import trace_file
from vbench.bench.trace.replay import exit_steps, replayed_map
from vbench.bench.trace.trace_file import read_trace
from vbench.errors import DatasetError, UsageError
from vbench.export.exporter import ExportOptions
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.load import load
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.policies.confidence import confidence_and_entropy, sigmoid

VIDEOS = 16


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its bundle ``tags``, the same without a statement, ``unstated``, and the data set."""
    root = tmp_path_factory.mktemp("tags")
    save_tag_checkpoint(root / "checkpoint.pth")
    cached_export(root / "checkpoint.pth", root / "bundles" / "tags", ExportOptions(input_size=32, dataset=HVU))
    unstated = shutil.copytree(root / "bundles" / "tags", root / "bundles" / "unstated") / "manifest.json"
    manifest = json.loads(unstated.read_text())
    unstated.write_text(json.dumps({key: value for key, value in manifest.items() if key != "probabilities"}))
    write_hvu(root / "hvu", "val.csv", VIDEOS)
    return root


def config(root: Path, bundle: str = "tags", **given: object) -> RunConfig:
    return RunConfig(str(root / "bundles" / bundle), data=DataOptions("hvu", root / "hvu"), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(root: Path) -> Path:
    return start_run(config(root), root / "run", "vbench run").path


@pytest.fixture(scope="module")
def traced(root: Path) -> Path:
    return start_run(config(root, trace=True), root / "traced", "vbench run --trace").path


def metrics(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "run.json").read_text())["metrics"]
    return found


def test_the_manifest_states_the_probabilities(root: Path, tiny_bundle: Bundle[FrameExitManifest]) -> None:
    stated, unstated = (
        json.loads((path / "manifest.json").read_text()) for path in (root / "bundles" / "tags", tiny_bundle.path)
    )
    assert stated["probabilities"] == "sigmoid"
    assert stated["policy"]["first_threshold"] == 1.0
    assert "probabilities" not in unstated


def test_a_run_reports_all_protocols(run: Path, root: Path) -> None:
    found = metrics(run)
    tags = found["tags"]
    assert isinstance(tags, dict)
    dataset = load_dataset("hvu", root / "hvu")
    table = read_probabilities(run)
    scores = ArrayScores(table["probabilities"].explode().to_numpy().reshape(VIDEOS, -1))
    labels = {video.key: video.classes for video in dataset.videos}
    positives = TagLabels([labels[key] for key in table["video"]], CATEGORIES)
    for protocol in PROTOCOLS:
        assert tags[protocol] == pytest.approx(100 * tag_map(scores, positives, protocol), abs=1e-9)
    assert (found["metric"], found["accuracy"], found["top5"]) == ("map", tags["flat"], None)
    interval = read_answers(run, "map").interval
    assert interval is not None
    assert interval.low < found["accuracy"] < interval.high


def test_probabilities_are_independent_and_the_first_step_does_not_exit(root: Path, run: Path) -> None:
    network = load(root / "bundles" / "tags", "ort")
    result = network.predict(np.zeros((10, 40, 40, 3), np.uint8))
    np.testing.assert_allclose(result.probabilities, 1 / (1 + np.exp(-result.logits.astype(np.float64))), atol=1e-6)
    histogram = metrics(run)["exit_histogram"]
    assert isinstance(histogram, list)
    assert histogram[0] == 0


def test_confidence_of_a_sigmoid() -> None:
    logits = np.array([-200.0, 0.0, 3.0], np.float32)
    confidence, entropy = confidence_and_entropy(logits, "sigmoid")
    share = float(sigmoid(logits)[2])
    expected = (1 - share * np.log2(share) - (1 - share) * np.log2(1 - share)) / 3
    assert (confidence, entropy) == pytest.approx((share, expected), abs=1e-6)


def test_an_unstated_bundle_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"of unstated come from a softmax, .* needs a sigmoid; export it again"):
        start_run(config(root, "unstated"), tmp_path / "run", "vbench run")


@pytest.mark.parametrize("large", [False, True], ids=["in memory", "in a file"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_replay_equals_the_run(
    traced: Path, run: Path, protocol: TagProtocol, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(trace_file, "_IN_MEMORY", 0)
        monkeypatch.setattr(trace_file, "_GROUP_CELLS", 50)
    trace = replace(read_trace(traced), protocol=protocol)
    assert (trace.stored is not None) == large
    steps = exit_steps(trace.default_policy, trace)
    expected = metrics(run)["tags"][protocol]  # type: ignore[index]
    assert 100 * replayed_map(trace, steps) == pytest.approx(expected, abs=1e-9)
    half = trace.subset(np.arange(1, VIDEOS, 2))
    quarter = half.subset(np.array([0, 2]))
    plain = read_trace(traced).subset(np.array([1, 5]))
    assert (quarter.videos, quarter.hits.tolist()) == (plain.videos, plain.hits.tolist())
    assert replayed_map(quarter, np.array([3, 7])) == replayed_map(replace(plain, protocol=protocol), np.array([3, 7]))


def test_a_large_trace_is_written_in_row_groups(
    root: Path, tmp_path: Path, traced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_file, "IN_MEMORY", 0)
    monkeypatch.setattr(trace_file, "_GROUP_CELLS", 400)
    written = read_trace(start_run(config(root, trace=True), tmp_path / "run", "vbench run --trace").path)
    usual = read_trace(traced)
    assert (written.videos, written.labels, written.header) == (usual.videos, usual.labels, usual.header)
    np.testing.assert_array_equal(written.logits, usual.logits)
    np.testing.assert_array_equal(written.gates, usual.gates)


def test_sweep_and_tune(traced: Path, run: Path) -> None:
    (source,) = read_sources([traced])
    points = sweep([source], ("fixed",))
    assert points[0].accuracy == pytest.approx(metrics(run)["accuracy"])
    assert any(point.pareto for point in points)
    assert all(point.interval is not None for point in points if point.pareto)
    found = tune(source, Target(max_drop=50), ("fixed",), 4)
    assert found.check is not None
    assert found.check.quantity == "loss of mAP"
    assert found.drop_metric == "map"
    assert found.drop is not None
    assert found.drop.points == pytest.approx(found.check.value)


def test_guarantees_are_not_defined_for_tags(traced: Path) -> None:
    (source,) = read_sources([traced])
    with pytest.raises(UsageError, match=r"the loss of top-1, which is not defined for the tags of hvu"):
        tune(source, Target(max_drop=5, delta=0.1))


def test_unknown_protocol(traced: Path) -> None:
    with pytest.raises(UsageError, match="unknown protocol 'median'; choose one of flat, category, labeled"):
        read_sources([traced], protocol="median")  # type: ignore[arg-type]


def test_compare_and_agreement(root: Path, run: Path) -> None:
    policy = PolicyChoice(first_threshold=0.0)
    other = start_run(config(root, policy=policy), root / "first", "vbench run").path
    found = {quantity.name: quantity for quantity in compare(run, other).quantities}
    assert isinstance(found["map"], MetricDelta)
    assert found["map"].before == pytest.approx(metrics(run)["accuracy"])
    assert found["map"].after == pytest.approx(metrics(other)["accuracy"])
    same, changes = agreement(run, run), agreement(run, other)
    assert (same.other_tags, same.changed, same.probability_difference) == (0, 0, 0)
    one, two = (
        read_probabilities(each)["probabilities"].explode().to_numpy().reshape(VIDEOS, -1) for each in (run, other)
    )
    assert changes.other_tags == ((one > 0.5) != (two > 0.5)).any(axis=1).sum()
    assert changes.probability_difference == pytest.approx(np.abs(one - two).max())


def test_top_k_keeps_the_accuracy_but_not_the_comparison(root: Path, run: Path) -> None:
    kept = start_run(config(root, top_k=2), root / "top_k", "vbench run").path
    assert metrics(kept)["tags"] == metrics(run)["tags"]
    assert compare(run, kept).absent["map"] == "a run keeps only the 2 most probable classes"
    assert read_answers(kept, "map").interval is None
    assert json.loads((kept / "run.json").read_text())["config"]["top_k"] == 2


def test_explain_shows_independent_probabilities(root: Path) -> None:
    dataset = load_dataset("hvu", root / "hvu")
    video = dataset.videos[0]
    found = explain(load(root / "bundles" / "tags", "ort"), video.open, classes=video.classes)
    assert sum(score.probability for score in found.steps[0].top) > 1
    assert found.answer.right == (found.answer.label in (video.classes or ()))
