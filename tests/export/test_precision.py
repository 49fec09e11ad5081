"""Precisions below fp32: conversion, accuracy and calibration frames."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.bench.run.test_run import BROKEN, save_dataset
from tests.networks import TINY_HEAD, noise_clips, save_checkpoint, tiny_network
from vbench.bench.datasets import Dataset, Video, load_dataset
from vbench.bench.datasets.calibration import calibration_videos
from vbench.cli.main import main
from vbench.errors import BundleError, CheckError, DatasetError, FrameError, UsageError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.precision.activation_ranges import Calibration, activation_ranges
from vbench.export.precision.fp16 import to_fp16
from vbench.export.precision.int8_qdq import RECIPES, to_int8_qdq
from vbench.export.preprocess.shorter_side import frameexit_preprocess_graph
from vbench.models.frameexit.network import HeadSize
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.load import load
from vbench.runtime.video.sampling import linspace_positions
from vbench.runtime.video.source import ArrayFrames, FrameSource

COMMAND = [sys.executable, "-c", "from vbench.cli.main import main; main()"]
HEADS = ("gates", "classifiers")
NOISE = Calibration("noise", noise_clips)
CLOSE = {"fp16": 2e-3, "int8-trt": 0.1, "int8": 0.1}
QUANTIZED = ("int8-trt", "int8")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "short.pth"
    save_checkpoint(tiny_network(HeadSize(TINY_HEAD.hidden, TINY_HEAD.gate_widths, 5, 2)), path)
    return path


def backbone(bundle: Bundle, precision: str) -> onnx.ModelProto:
    return onnx.load(bundle.part_file("backbone", precision))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("precision", CLOSE)
def test_features_are_close(tiny_quantized_bundle: Bundle, precision: str) -> None:
    bundle = tiny_quantized_bundle
    frames = np.concatenate([np.stack(clip) for clip in noise_clips(4)])
    features = {}
    for name in ("fp32", precision):
        engine = load_engine("ort", bundle, EngineOptions(precision=name))
        features[name] = engine.get(engine.run("backbone", engine.run("preprocess", engine.put(frames))))
        assert features[name].dtype == np.float32
    error = np.abs(features[precision] - features["fp32"]).max() / np.abs(features["fp32"]).max()
    assert 0 < error < CLOSE[precision]


@pytest.mark.parametrize("precision", CLOSE)
def test_predicts(tiny_quantized_bundle: Bundle, precision: str) -> None:
    clip = np.stack(next(noise_clips(10)))
    actual, expected = (
        load(tiny_quantized_bundle.path, "ort", precision=name).predict(clip) for name in (precision, "fp32")
    )
    assert 1 <= actual.exit_step <= 10
    assert np.isfinite(actual.logits).all()
    assert actual.logits.shape == expected.logits.shape


def test_only_the_backbone_has_a_file_per_precision(tiny_quantized_bundle: Bundle) -> None:
    bundle = tiny_quantized_bundle
    for name, part in bundle.manifest.parts.items():
        paths = {precision: file.path for precision, file in part.files.items()}
        assert list(paths) == ["fp32", "fp16", "int8-trt", "int8"]
        folder = {precision: precision if name == "backbone" else "fp32" for precision in paths}
        assert paths == {precision: f"{folder[precision]}/{name}.onnx" for precision in paths}
        gpu_paths = {precision: file.path for precision, file in part.other_forms.get("gpu", {}).items()}
        assert gpu_paths == (dict.fromkeys(paths, f"fp32/{name}_gpu.onnx") if name in HEADS else {})
    actual = sorted(path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*.*"))
    assert len(actual) == 1 + 8 + 3
    assert open_bundle(bundle.path).check_files() == 8 + 3


@pytest.mark.parametrize("precision", QUANTIZED)
def test_weights_are_symmetric_per_channel_and_biases_float(tiny_quantized_bundle: Bundle, precision: str) -> None:
    model = backbone(tiny_quantized_bundle, precision)
    values = constants(model)
    producers = {node.output[0]: node for node in model.graph.node}
    weighted = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(weighted) == tiny_weighted(tiny_quantized_bundle)
    for node in weighted:
        weight = producers[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        integers, scale, zero = (values[name] for name in weight.input)
        assert integers.dtype == zero.dtype == np.int8
        assert scale.shape == zero.shape == (len(integers),)
        assert not zero.any()
        assert np.abs(integers.astype(int)).max() <= (64 if precision == "int8" else 127)
        assert values[node.input[2]].dtype == np.float32
        assert producers[node.input[0]].op_type == "DequantizeLinear"


def tiny_weighted(bundle: Bundle) -> int:
    return sum(node.op_type in ("Conv", "Gemm") for node in backbone(bundle, "fp32").graph.node)


def test_int8_trt_meets_tensorrts_constraints(tiny_quantized_bundle: Bundle) -> None:
    model = backbone(tiny_quantized_bundle, "int8-trt")
    values = constants(model)
    consumers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert node.domain == ""
            assert values[node.input[2]].dtype == np.int8
            assert not values[node.input[2]].any(), "TensorRT knows no zero point but 0"
    assert not {np.dtype(np.int32), np.dtype(np.uint8)} & {value.dtype for value in values.values()}
    convolutions = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    rounded = {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert convolutions
    assert not convolutions & rounded, "ReLU and addition belong to the convolution before anything is rounded"
    assert all(consumers[name] for name in convolutions)


def test_int8_runs_in_integers(tiny_quantized_bundle: Bundle, tmp_path: Path) -> None:
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(
        tiny_quantized_bundle.part_file("backbone", "int8"), settings, providers=["CPUExecutionProvider"]
    )
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    original = Counter(node.op_type for node in backbone(tiny_quantized_bundle, "fp32").graph.node)
    assert counts["QLinearConv"] == original["Conv"]
    assert counts["QLinearAdd"] == original["Add"]
    assert counts["Conv"] == counts["Add"] == counts["Relu"] == 0


def test_fp16_computes_in_float16(tiny_quantized_bundle: Bundle) -> None:
    model = backbone(tiny_quantized_bundle, "fp16")
    floats = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT]
    assert not floats
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2
    kinds = [tensor.type.tensor_type.elem_type for tensor in (*model.graph.input, *model.graph.output)]
    assert kinds == [TensorProto.FLOAT] * 2


def test_manifest_records_the_conversion(tiny_quantized_bundle: Bundle) -> None:
    manifest = tiny_quantized_bundle.manifest
    assert set(manifest.precision_details) == {"fp16", "int8-trt", "int8"}
    assert set(manifest.checks) == set(manifest.precisions)
    assert manifest.checks["fp32"].max_error == 1e-4
    for precision, spec in manifest.precision_details.items():
        assert spec.parts == ("backbone",)
        assert spec.tool.startswith("onnxruntime.")
        assert spec.converted["Conv"] == manifest.precision_details["fp16"].converted["Conv"]
        assert manifest.checks[precision].max_error is None
        assert manifest.checks[precision].parts["gates"].relative < 1e-5, "heads are fp32's"
    for precision in QUANTIZED:
        calibration = manifest.precision_details[precision].calibration
        assert calibration is not None
        assert calibration.model_dump() == {"dataset": "noise", "videos": 3, "frames": 30, "method": "minmax"}
    assert manifest.precision_details["int8"].activations == "uint8"
    assert "Relu" in manifest.precision_details["int8-trt"].kept


@pytest.mark.parametrize("precision", QUANTIZED)
def test_conversion_is_deterministic(tiny_quantized_bundle: Bundle, tmp_path: Path, precision: str) -> None:
    bundle = tiny_quantized_bundle
    preprocess, model = (onnx.load(bundle.part_file(part, "fp32")) for part in ("preprocess", "backbone"))
    ranges = activation_ranges(preprocess, model, 10, tmp_path, NOISE)
    again = to_int8_qdq(model, RECIPES[precision], ranges)
    assert again.model.SerializeToString() == bundle.part_file("backbone", precision).read_bytes()
    assert again.spec == bundle.manifest.precision_details[precision]


def test_without_fp32(short: Path, tmp_path: Path) -> None:
    options = ExportOptions(input_size=32, precisions=("int8-trt",))
    bundle = export_checkpoint(short, tmp_path / "b", options, calibration=NOISE)
    actual = sorted(path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*.*"))
    shared = [f"fp32/{name}.onnx" for name in bundle.manifest.parts if name != "backbone"]
    assert "gates" not in bundle.manifest.parts, "the network has two steps"
    shared += ["fp32/classifiers_gpu.onnx", "fp32/weights.bin"]
    assert actual == sorted([*shared, "int8-trt/backbone.onnx", "manifest.json"])
    load_engine("ort", open_bundle(bundle.path), EngineOptions(precision="int8-trt"))
    with pytest.raises(BundleError, match="this bundle has no fp32, only int8-trt"):
        load_engine("ort", bundle, EngineOptions())


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"\0" + content[1:]])
def test_damaged_int8_is_rejected(tiny_quantized_bundle: Bundle, tmp_path: Path, damage) -> None:
    folder = Path(shutil.copytree(tiny_quantized_bundle.path, tmp_path / "bundle"))
    path = folder / "int8-trt" / "backbone.onnx"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match="altered since the export"):
        load_engine("ort", open_bundle(folder), EngineOptions(precision="int8-trt"))
    load_engine("ort", open_bundle(folder), EngineOptions(precision="fp32"))


@pytest.mark.parametrize(
    ("precisions", "calibration", "words"),
    [
        (("int8-trt",), None, "--precision int8-trt requires calibration frames; .* --calibrate"),
        (("fp32", "int8"), None, "--precision int8 requires calibration frames"),
        (("fp32",), NOISE, "--calibrate has no effect with --precision fp32"),
        (("fp32", "bf16"), None, "unknown precision 'bf16'; choose one of fp32, fp16, int8-trt, int8"),
        (("fp32", ""), None, "unknown precision ''"),
        (("fp16", "fp32", "fp16"), None, "duplicate precision 'fp16'"),
        ((), None, "--precision is empty"),
    ],
)
def test_invalid_precisions(
    tiny_checkpoint: Path, tmp_path: Path, precisions: tuple[str, ...], calibration: Calibration | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        export_checkpoint(
            tiny_checkpoint, tmp_path / "b", ExportOptions(precisions=precisions), calibration=calibration
        )
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_calibration_video(short: Path, tmp_path: Path) -> None:
    nothing = Calibration("empty", lambda *_: iter(()))
    options = ExportOptions(input_size=32, precisions=("int8-trt",))
    with pytest.raises(DatasetError, match=r"^empty: no calibration video could be decoded"):
        export_checkpoint(short, tmp_path / "b", options, calibration=nothing)
    assert list(tmp_path.iterdir()) == []


def test_interrupt_while_calibrating_leaves_nothing(short: Path, tmp_path: Path) -> None:
    def interrupted(frames: int, _sampling: str) -> Iterator[list[np.ndarray]]:
        yield from noise_clips(frames)
        signal.raise_signal(signal.SIGINT)

    options = ExportOptions(input_size=32, precisions=("int8-trt",))
    # A process started in the background may inherit an ignored SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            export_checkpoint(short, tmp_path / "b", options, calibration=Calibration("noise", interrupted))
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


def scale_graph(weights: np.ndarray) -> onnx.ModelProto:
    """``pixels [n, 3, 32, 32]`` times one weight per channel."""
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 32, 32])]
    output = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3, 32, 32])]
    node = helper.make_node("Mul", ["pixels", "weights"], ["features"], name="scale")
    tensor = numpy_helper.from_array(weights.astype(np.float32).reshape(3, 1, 1), "weights")
    graph = helper.make_graph([node], "backbone", inputs, output, [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_weights_beyond_fp16() -> None:
    for wrong in (1e5, float("inf"), float("nan")):
        with pytest.raises(CheckError, match=r"backbone: weights reaches .*, above the fp16 maximum 65504; omit fp16"):
            to_fp16(scale_graph(np.array([1, wrong, 1])), {})
    model, spec = to_fp16(scale_graph(np.array([1e-9, -2e-8, 65504])), {})
    assert spec.weights_flushed_to_zero == 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    actual = session.run(None, {"pixels": np.ones((1, 3, 32, 32), np.float32)})[0]
    assert actual[0, :, 0, 0].tolist() == [0, 0, 65504]


def test_ranges_are_those_of_all_frames(tmp_path: Path) -> None:
    graph = scale_graph(np.array([1, 2, 3]))
    preprocess = frameexit_preprocess_graph(32, (0, 0, 0), (1, 1, 1), 18)

    def growing(frames: int, _sampling: str) -> Iterator[list[np.ndarray]]:
        for video in range(5):
            yield [np.full((32, 32, 3), 51 * video, np.uint8)] * frames

    ranges = activation_ranges(preprocess, graph, 3, tmp_path, Calibration("gray", growing))
    low, high = ranges.tensors["features"].range_value
    assert (low.item(), high.item()) == (0, pytest.approx(0.8 * 3))
    assert (ranges.spec.videos, ranges.spec.frames) == (5, 15)
    assert list(tmp_path.iterdir()) == []


class Broken(ArrayFrames):
    def read(self, position: int) -> np.ndarray:
        raise FrameError(f"frame {position} is broken", "exclude it")


def numbered(count: int, broken: tuple[int, ...] = ()) -> Dataset:
    """Videos of 15 frames whose pixels are the video's number plus the frame's."""

    def open_video(number: int) -> FrameSource:
        values = (number + np.arange(15, dtype=np.uint8)).reshape(15, 1, 1, 1)
        return (Broken if number in broken else ArrayFrames)(np.broadcast_to(values, (15, 4, 4, 3)).copy())

    videos = tuple(Video(f"video_{n}", (0,), lambda n=n: open_video(n)) for n in range(count))
    return Dataset("numbered", ("one",), videos, (), "top1", 0.95)


def test_calibration_videos_are_spread_evenly() -> None:
    chosen = calibration_videos(numbered(10), 4)
    assert [video.key for video in chosen.videos] == ["video_0", "video_2", "video_5", "video_7"]
    assert len(calibration_videos(numbered(3), 64).videos) == 3
    with pytest.raises(UsageError, match="the number of calibration videos must be >= 1, got 0"):
        calibration_videos(numbered(3), 0)
    first = next(chosen.clips(10, "linspace"))
    assert [int(frame[0, 0, 0]) for frame in first] == list(linspace_positions(15, 10))


def test_broken_calibration_videos_are_skipped_and_named() -> None:
    chosen = calibration_videos(numbered(4, broken=(1, 3)), 4)
    assert [int(clip[0][0, 0, 0]) for clip in chosen.clips(2, "linspace")] == [0, 2]
    assert [(item.key, item.reason) for item in chosen.skipped] == [
        ("video_1", "frame 0 is broken; exclude it"),
        ("video_3", "frame 0 is broken; exclude it"),
    ]


def vbench(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True)


@pytest.mark.slow
def test_command_line(short: Path, tmp_path: Path) -> None:
    data, out = save_dataset(tmp_path / "data"), tmp_path / "bundle"
    (data / BROKEN / "0.jpeg").write_bytes(b"broken")
    videos = len(load_dataset("folder", data).videos)
    args = ("--precision", "fp32,int8", "--calibrate", "folder", "--calibrate-data", data, "--calibrate-videos", 99)
    ended = vbench("export", short, "-o", out, "--input-size", 32, *map(str, args), "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert set(document["checks"]) == {"fp32", "int8"}
    assert document["precisions"]["int8"]["calibration"]["videos"] == videos - 1
    assert ended.stderr.splitlines() == [
        f"folder has only {videos} videos; using all of them for calibration",
        "reading the checkpoint",
        "tracing and cutting the network",
        "calibrating backbone with videos of folder",
        "converting backbone to int8",
        "checking every part against PyTorch (fp32)",
        "checking every part against PyTorch (int8)",
        ended.stderr.splitlines()[-1],
    ]
    assert ended.stderr.splitlines()[-1].startswith("1 calibration videos could not be decoded and were skipped (")
    shown = vbench("inspect", out)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "minmax over" in shown.stdout
    assert "recorded only" in shown.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--precision", "int8-trt"), "--precision int8-trt requires calibration frames"),
        (("--precision", "int8-trt", "--calibrate-videos", "3"), "add --calibrate DATASET"),
        (("--calibrate-data", "."), "add --calibrate DATASET"),
        (("--precision", "int8-trt", "--calibrate", "imagenet"), "unknown data set 'imagenet'"),
        (
            ("--precision", "int8-trt", "--calibrate", "folder", "--calibrate-data", "no/such"),
            "no/such is not a folder",
        ),
    ],
)
def test_mistakes_on_the_command_line(
    short: Path,
    tmp_path: Path,
    args: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["vbench", "export", str(short), "-o", str(tmp_path / "b"), *args])
    with pytest.raises(SystemExit) as raised:
        main()
    ended = capsys.readouterr()
    assert (raised.value.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert words in ended.err
    assert list(tmp_path.iterdir()) == []
