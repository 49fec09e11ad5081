"""Precisions of frame-flexible networks: one converted part per frame count, calibrated at that count."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.bundle_cache import cached_export
from tests.configs import run_config
from tests.networks import noise_clips
from vbench.bench.compare.audit import audit
from vbench.bench.datasets import load_dataset
from vbench.bench.datasets.calibration import calibration_videos
from vbench.errors import CheckError, DatasetError, UsageError
from vbench.export.exporter import Calibration, ExportOptions, export_checkpoint
from vbench.export.options import Layout
from vbench.export.precision.recipes import merged
from vbench.export.verify.verify import verify_counts
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import CalibrationSpec, FlexibleManifest, PrecisionSpec, frames_part
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.load import load

COUNTS = (4, 8)  # of different branches
PRECISIONS = ("fp32", "fp16", "int8", "int8-trt")
CLOSE = {"fp16": 1e-2, "int8": 0.2, "int8-trt": 0.2}
DEMO = Path(__file__).parents[2] / "models" / "demo"
Checkpoint = Callable[[str], Path]
Export = Callable[[str, Layout], Bundle[FlexibleManifest]]


def options(layout: Layout = "folded", **others: Any) -> ExportOptions:
    return ExportOptions(**{"input_size": 32, "frames": COUNTS, "precisions": PRECISIONS, "layout": layout, **others})


@pytest.fixture(scope="session")
def exported(flexible_checkpoint: Checkpoint) -> Export:
    """Return a function that exports a small network in all precisions."""

    @functools.cache
    def export(family: str, layout: Layout) -> Bundle[FlexibleManifest]:
        checkpoint = flexible_checkpoint(family)
        out = checkpoint.parent / "bundles" / f"{family}_{layout}_precisions"
        bundle = cached_export(checkpoint, out, options(layout), Calibration("noise", noise_clips))
        assert isinstance(bundle.manifest, FlexibleManifest)
        return Bundle(bundle.path, bundle.manifest)

    return export


def graph(bundle: Bundle[FlexibleManifest], count: int, precision: str) -> onnx.ModelProto:
    return onnx.load(bundle.part_file(frames_part(count), precision))


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize("count", COUNTS)
def test_logits_are_close(exported: Export, count: int, precision: str) -> None:
    path = exported("tsm", "folded").path
    clip = np.stack(next(noise_clips(count)))
    expected, actual = (load(path, precision=each).predict(clip, frames=count).logits for each in ("fp32", precision))
    error = np.abs(actual - expected).max() / max(1, np.abs(expected).max())
    assert 0 < error < CLOSE[precision]


def require_precision(engine: str, precision: str) -> None:
    """Skip the test unless the engine is installed and runs the precision on this CPU."""
    if engine == "openvino":
        core = pytest.importorskip("openvino").Core()
        if precision.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip(f"this CPU does not support {precision}")


def test_bf16_runs_the_fp32_graphs(exported: Export) -> None:
    require_precision("openvino", "bf16")
    path, clip = exported("tsm", "folded").path, np.stack(next(noise_clips(4)))
    expected, actual = (load(path, "openvino", precision=each).predict(clip) for each in ("fp32", "bf16"))
    assert np.abs(actual.logits - expected.logits).max() < 0.05 * max(1, np.abs(expected.logits).max())


def test_the_manifest_describes_every_frame_count(exported: Export) -> None:
    bundle = exported("tsm", "folded")
    manifest = bundle.manifest
    assert manifest.precisions == PRECISIONS == tuple(manifest.checks)
    assert set(manifest.weights) == set(PRECISIONS)
    assert bundle.check_files() == 1 + len(PRECISIONS) * (len(COUNTS) + 1), "all precisions share the preprocessing"
    for precision, spec in manifest.precision_details.items():
        assert spec.parts == ("frames_04", "frames_08")
        convolutions = [node.op_type for count in COUNTS for node in graph(bundle, count, precision).graph.node]
        assert spec.converted["Conv"] == convolutions.count("Conv")
        assert manifest.checks[precision].max_error is None
    calibration = manifest.precision_details["int8"].calibration
    assert calibration is not None
    assert (calibration.dataset, calibration.videos, calibration.frames) == ("noise", 3, 3 * sum(COUNTS))


def offsets(bundle: Bundle[FlexibleManifest], count: int, precision: str) -> list[str]:
    """The places of a frame count's large weights in the weights file."""
    model = onnx.load(bundle.part_file(frames_part(count), precision), load_external_data=False)
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    return sorted(entry.value for entry in entries if entry.key == "offset")


def test_frame_counts_share_their_8_bit_convolutions(exported: Export) -> None:
    bundle = exported("tsm", "shared")
    for precision in ("fp32", "int8", "int8-trt"):
        assert offsets(bundle, 4, precision) == offsets(bundle, 8, precision) != []
    sizes = bundle.manifest.weights
    assert sizes["int8"].size_bytes < 0.3 * sizes["fp32"].size_bytes
    folded = exported("tsm", "folded")
    assert not {*offsets(folded, 4, "fp32")} & {*offsets(folded, 8, "fp32")}


def test_other_precisions_do_not_change_fp32(exported: Export, flexible_checkpoint: Checkpoint, tmp_path: Path) -> None:
    alone = export_checkpoint(flexible_checkpoint("tsm"), tmp_path / "b", options(precisions=("fp32",))).manifest
    together = exported("tsm", "folded").manifest
    assert alone.weights["fp32"] == together.weights["fp32"]
    for part, spec in alone.parts.items():
        assert spec.files["fp32"] == together.parts[part].files["fp32"]


@pytest.mark.parametrize("precision", ["int8", "int8-trt"])
def test_the_classifier_stays_in_float(exported: Export, precision: str) -> None:
    bundle = exported("tsm", "folded")
    (classifier,) = bundle.manifest.precision_details[precision].kept["Gemm"]
    model = graph(bundle, 4, precision)
    (node,) = (node for node in model.graph.node if node.name == classifier)
    weight = {tensor.name: tensor for tensor in model.graph.initializer}[node.input[1]]
    assert numpy_helper.to_array(weight).dtype == np.float32


@pytest.mark.slow
def test_attention_and_stems_stay_in_float(flexible_checkpoint: Checkpoint, tmp_path: Path) -> None:
    calibration = Calibration("noise", noise_clips)
    small = options(precisions=("int8",), input_size=64, frames=(4,))
    manifest = export_checkpoint(flexible_checkpoint("uniformer"), tmp_path / "b", small, calibration=calibration)
    (spec,) = manifest.manifest.precision_details.values()
    assert (len(spec.kept["MatMul"]), len(spec.kept["Softmax"])) == (4, 2), "two products in each attention block"
    assert spec.converted["MatMul"] == 2 * 4, "query, key and value; projection; two layers of the MLP"
    assert len(spec.kept["Conv"]) == 1, "the 3D convolution of the pixels"
    assert len(spec.kept["LayerNormalization"]) >= 4


def test_calibration_clips_are_sampled_as_by_the_network(flexible_checkpoint: Checkpoint, tmp_path: Path) -> None:
    requests: list[tuple[int, str]] = []

    def clips(frames: int, sampling: str) -> Iterator[list[np.ndarray]]:
        requests.append((frames, sampling))
        return noise_clips(frames)

    chosen = options(precisions=("int8", "int8-trt"))
    export_checkpoint(flexible_checkpoint("tsm"), tmp_path / "b", chosen, calibration=Calibration("noise", clips))
    assert requests == [(4, "segment_centres"), (8, "segment_centres")]


@pytest.mark.parametrize(
    ("precisions", "calibration", "error", "words"),
    [
        (("int8",), None, UsageError, "--precision int8 requires calibration frames"),
        (("bf16",), None, UsageError, "unknown precision 'bf16'"),
        (("fp32",), Calibration("noise", noise_clips), UsageError, "--calibrate has no effect with --precision fp32"),
        (("int8",), Calibration("empty", lambda *_: iter(())), DatasetError, "empty: no calibration video"),
    ],
)
def test_impossible_exports(
    flexible_checkpoint: Checkpoint,
    tmp_path: Path,
    precisions: tuple[str, ...],
    calibration: Calibration | None,
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        export_checkpoint(
            flexible_checkpoint("tsm"), tmp_path / "b", options(precisions=precisions), calibration=calibration
        )
    assert not list(tmp_path.iterdir())


def test_useless_logits_are_rejected(exported: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = exported("tsm", "folded")
    reference, candidate = (load_engine("ort", bundle, EngineOptions(precision=each)) for each in ("fp32", "int8"))
    check = verify_counts(bundle.manifest, reference, candidate, 1e-4, "int8")
    assert (check.engine, check.max_error) == ("ort", None)
    run = candidate.run
    amounts = {"preprocess": 1}
    monkeypatch.setattr(candidate, "run", lambda part, *inputs: run(part, *inputs) * amounts.get(part, 1e6))
    with pytest.raises(CheckError, match=r"frames_04: int8 differs from PyTorch .* omit int8"):
        verify_counts(bundle.manifest, reference, candidate, 1e-4, "int8")


def test_the_records_of_several_parts_are_merged() -> None:
    def spec(part: str, frames: int, peak: float, kept: tuple[str, ...]) -> PrecisionSpec:
        calibration = CalibrationSpec(dataset="d", videos=2, frames=frames, method="minmax")
        return PrecisionSpec(
            parts=(part,),
            weights="int8",
            activations="int8",
            granularity="g",
            converted={"Conv": 2},
            kept={"Add": kept},
            weights_flushed_to_zero=3,
            calibration=calibration,
            tool="t",
            version="1",
            largest_activation=peak,
        )

    found = merged([spec("frames_04", 4, 5.0, ("a", "b")), spec("frames_08", 8, 3.0, ("b", "c"))])
    assert found.parts == ("frames_04", "frames_08")
    assert (found.converted, found.kept) == ({"Conv": 4}, {"Add": ("a", "b", "c")})
    assert (found.weights_flushed_to_zero, found.largest_activation) == (6, 5.0)
    assert found.calibration == CalibrationSpec(dataset="d", videos=2, frames=12, method="minmax")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the demo's frame-flexible network, calibrated on the demo's validation videos."""
    videos = calibration_videos(load_dataset("motion", None), 64)
    chosen = ExportOptions(frames=(4, 8, 16), precisions=("fp32", "int8"), class_names=DEMO / "motion_classes.txt")
    bundle = tmp_path_factory.mktemp("demo") / "b"
    export_checkpoint(DEMO / "tsm_ffn_demo.pth", bundle, chosen, calibration=Calibration("motion", videos.clips))
    return bundle


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "precision"), [("ort", "int8"), ("openvino", "int8"), ("openvino", "bf16")])
def test_the_demo_network_keeps_its_accuracy(demo: Path, tmp_path: Path, engine: str, precision: str) -> None:
    """Accuracy changes by at most one point at every frame count."""
    require_precision(engine, precision)
    config = run_config(demo, engine=EngineOptions(engine=engine, precision=precision), dataset="motion_test")
    found = audit(config, EngineOptions(engine="ort"), tmp_path / "audit", "", lambda _: nullcontext(lambda _: None))
    assert len(found.pairs) == 3
    for pair in found.pairs:
        assert pair.reference.accuracy is not None
        assert pair.candidate.accuracy == pytest.approx(pair.reference.accuracy, abs=1.0)
