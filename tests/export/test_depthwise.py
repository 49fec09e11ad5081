"""Depthwise 3D convolutions as sums of 2D convolutions: which are replaced, equal results, and who runs which form."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.networks import noise_clips
from vbench.errors import BundleError
from vbench.export.graph.depthwise import with_2d_depthwise
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import FlexibleManifest
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.graph_check import graph_files
from vbench.runtime.load import load

FlexibleBundle = Callable[..., Bundle[FlexibleManifest]]


def convolution(
    frames: int, kernel: tuple[int, int, int] = (5, 5, 5), *, bias: bool = True, channels: int = 6, **attributes: Any
) -> onnx.ModelProto:
    """A convolution of ``pixels [n, channels, frames, 9, 8]`` with one output frame per input frame."""
    rng = np.random.default_rng(0)
    padding = [size // 2 for size in kernel]
    chosen = {
        "group": channels,
        "kernel_shape": kernel,
        "pads": [*padding, *padding],
        "strides": [1, 1, 1],
        "dilations": [1, 1, 1],
        **attributes,
    }
    weight = rng.standard_normal((channels, channels // chosen["group"], *kernel)).astype(np.float32)
    constants = {"weight": weight, "bias": rng.standard_normal(channels).astype(np.float32)}
    names = ["weight", *["bias"] * bias]
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["pixels"], ["x"]),
            helper.make_node("Conv", ["x", *names], ["y"], name="conv", **chosen),
            helper.make_node("Relu", ["y"], ["out"]),
        ],
        "part",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", channels, frames, 9, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(constants[name], name) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"pixels": pixels})[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strides", [[1, 1, 1], [1, 2, 2]])
@pytest.mark.parametrize("kernel", [(5, 5, 5), (3, 3, 3), (3, 1, 5)])
@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_results_are_equal(frames: int, kernel: tuple[int, int, int], strides: list[int], bias: bool) -> None:
    model = convolution(frames, kernel, bias=bias, strides=strides)
    rewritten = with_2d_depthwise(model)
    assert rewritten is not None
    pixels = np.random.default_rng(1).standard_normal((3, 6, frames, 9, 8)).astype(np.float32)
    expected = run(model, pixels)
    np.testing.assert_allclose(run(rewritten, pixels), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1
    reached = sum(abs(tap - kernel[0] // 2) < frames for tap in range(kernel[0]))
    convolutions = [node for node in rewritten.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == reached
    assert sum(len(node.input) == 3 for node in convolutions) == bias


@pytest.mark.parametrize(
    "model",
    [
        convolution(4, group=1),
        convolution(4, group=2),
        convolution(4, (1, 5, 5)),
        convolution(4, strides=[2, 1, 1]),
        convolution(4, (3, 3, 3), pads=[0, 1, 1, 0, 1, 1]),
        convolution(4, (3, 3, 3), pads=[2, 1, 1, 0, 1, 1]),
        convolution(4, (3, 3, 3), dilations=[2, 1, 1], pads=[2, 1, 1, 2, 1, 1]),
    ],
    ids=["dense", "grouped", "one frame", "time stride", "no padding", "causal", "dilated"],
)
def test_other_convolutions_stay(model: onnx.ModelProto) -> None:
    assert with_2d_depthwise(model) is None


def test_both_forms_share_their_weights(flexible_bundle: FlexibleBundle) -> None:
    bundle = flexible_bundle("uniformer")
    files = [bundle.part_file("frames_04", "fp32", target) for target in (None, "ort_cpu")]
    assert [file.name for file in files] == ["frames_04.onnx", "frames_04_ort_cpu.onnx"]
    graphs = [onnx.load(file, load_external_data=False).graph for file in files]
    places = [{tensor.name: [*map(str, tensor.external_data)] for tensor in graph.initializer} for graph in graphs]
    assert places[0].items() <= places[1].items()
    kernels = [{len(place) for name, place in one.items() if name not in places[0]} for one in places]
    assert kernels == [set(), {0}], "what the second graph adds is small"


def test_only_onnx_runtime_on_a_cpu_runs_the_2d_form(flexible_bundle: FlexibleBundle) -> None:
    bundle = flexible_bundle("uniformer")
    clip = np.stack(next(noise_clips(4)))
    logits = [load(bundle.path, engine).predict(clip, frames=4).logits for engine in ("ort", "torch")]
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-4)
    assert graph_files(bundle, "fp32", EngineOptions())["frames_04"].name == "frames_04.onnx"
    assert bundle.manifest.checks["fp32"].parts["frames_04"].relative < 1e-4


def test_a_damaged_2d_form_is_rejected(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    path = Path(shutil.copytree(flexible_bundle("uniformer").path, tmp_path / "bundle"))
    file = path / "fp32" / "frames_04_ort_cpu.onnx"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BundleError, match="altered since the export"):
        load_engine("ort", open_bundle(path), EngineOptions())
    with pytest.raises(BundleError, match="altered since the export"):
        open_bundle(path).check_files()
