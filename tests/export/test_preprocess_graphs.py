"""Preprocessing graphs of frame-flexible networks: bit-exact with the networks' own modules."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests import ffn2d, ffn3d
from tests.golden.ffn2d.make_clips import odd_frame
from tests.golden.ffn3d.make_clips import source
from vbench.export.graph import count_macs
from vbench.export.graph.torch_to_onnx import OPSETS
from vbench.export.preprocess.select import preprocess_graph_for
from vbench.models.ffn.base import FrameFlexible
from vbench.models.ffn.tea import Tea
from vbench.models.ffn.tsm import Tsm
from vbench.models.preprocess.multi_crop import SLOWFAST, UNIFORMER, CropRules
from vbench.models.preprocess.pillow import PreprocessTsm
from vbench.models.preprocess.pillow import preprocess_spec as tsm
from vbench.models.preprocess.shorter_side import MEAN, STD, Preprocess, PreprocessSpec
from vbench.runtime.engines.openvino import shared_core

FRAMEEXIT = PreprocessSpec(28, 28, "shorter_side_bilinear_truncated", ("center_half_to_even",), "rgb", MEAN, STD)
SMALL = 28
SIDES = st.integers(5, 5 * SMALL)
# One pixel and up; a shorter side that needs no resize (28 or, for TSM, 32); quotients that doubles truncate (61 / 28).
SIZES = [(1, 1), (1, 50), (28, 28), (28, 61), (61, 28), (56, 122), (122, 56), (32, 47), (99, 32), (140, 17), (400, 300)]
LARGE = [(240, 320), (256, 340), (340, 256), (224, 230), (427, 240), (101, 177), (720, 1280), (448, 460)]


@functools.cache
def session(spec: PreprocessSpec, opset: int = 18) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content = preprocess_graph_for(spec, opset).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(spec: PreprocessSpec, frames: NDArray[np.uint8], opset: int = 18) -> NDArray[np.float32]:
    return np.asarray(session(spec, opset).run(None, {"frames": frames})[0])


def noise(height: int, width: int, count: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng([height, width])
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def check_tsm(size: int, frames: NDArray[np.uint8]) -> None:
    expected = PreprocessTsm(size)(torch.from_numpy(frames)).numpy()[:, None]
    np.testing.assert_array_equal(run(tsm(size), frames), expected)


def check_ffn3d(rules: CropRules, frames: NDArray[np.uint8]) -> None:
    expected = rules.part.module(torch.from_numpy(frames)).numpy()
    np.testing.assert_allclose(run(rules.spec, frames), expected, rtol=0, atol=1e-5)


@settings(max_examples=150)
@given(SIDES, SIDES, st.integers(1, 3))
def test_tsm(height: int, width: int, count: int) -> None:
    check_tsm(SMALL, noise(height, width, count))


@settings(max_examples=100)
@given(SIDES, SIDES, st.integers(1, 3), st.sampled_from([SLOWFAST, UNIFORMER]))
def test_ffn3d(height: int, width: int, count: int, rules: CropRules) -> None:
    check_ffn3d(replace(rules, size=SMALL), noise(height, width, count))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_corner_cases(height: int, width: int) -> None:
    frames = noise(height, width, 2)
    check_tsm(SMALL, frames)
    for rules in (SLOWFAST, UNIFORMER):
        check_ffn3d(replace(rules, size=SMALL), frames)
    expected = Preprocess(SMALL)(torch.from_numpy(frames)).numpy()
    np.testing.assert_allclose(run(FRAMEEXIT, frames), expected, rtol=0, atol=3e-4)


@pytest.mark.parametrize(("height", "width"), LARGE)
def test_sizes_of_networks(height: int, width: int) -> None:
    frames = noise(height, width)
    check_tsm(224, frames)
    for rules in (SLOWFAST, UNIFORMER):
        check_ffn3d(rules, frames)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_tsm_gives_the_originals_bytes(index: int) -> None:
    actual = run(tsm(224), odd_frame(index)[None])[0, 0]
    np.testing.assert_array_equal(as_bytes(actual), ffn2d.golden()[f"preprocess/{index}/crop"])
    np.testing.assert_array_equal(actual[:, ::16, ::16], ffn2d.golden()[f"preprocess/{index}/tensor_grid"])


def as_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint((pixels.transpose(1, 2, 0) * np.array(STD) + np.array(MEAN)) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("model", "number", "frames"),
    [("uniformer_ffn", 0, 4), ("uniformer_ffn", 1, 8), ("slowfast_ffn", 0, 16), ("slowfast_ffn", 1, 16)],
)
def test_ffn3d_gives_the_originals_crops(model: str, number: int, frames: int) -> None:
    rules = SLOWFAST if model.startswith("slowfast") else UNIFORMER
    actual = run(rules.spec, source(number, frames))
    for index in range(len(rules.crops)):
        expected = ffn3d.golden()[f"{model}/loader/source{number}/T{frames}/crop{index}/sample"]
        sample = actual[:, index].transpose(1, 0, 2, 3)[:, :, ::31, ::29]
        np.testing.assert_allclose(sample, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "sampling", "views"),
    [
        (lambda: ffn2d.tiny(Tsm), "segment_centres", 1),
        (lambda: ffn2d.tiny(Tea), "segment_centres", 1),
        (lambda: ffn3d.narrow("slowfast", True), "rounded_segments", 1),
        (lambda: ffn3d.narrow("uniformer", False), "rounded_segments", 3),
    ],
    ids=["tsm", "tea", "slowfast", "uniformer"],
)
def test_specs_match_the_preprocessing(make: Callable[[], FrameFlexible], sampling: str, views: int) -> None:
    net = make()
    part, size = net.preprocess(), net.input_size
    assert (net.sampling, net.preprocessing.input_size, len(net.preprocessing.crops)) == (sampling, size, views)
    assert (part.name, part.output.shape) == ("preprocess", ("n", views, 3, size, size))
    frames = noise(90, 141, 2)
    expected = part.module(torch.from_numpy(frames)).numpy()
    np.testing.assert_allclose(run(net.preprocessing, frames), expected, rtol=0, atol=1e-5)
    graph = preprocess_graph_for(net.preprocessing, 18)
    axes = graph.graph.output[0].type.tensor_type.shape.dim
    assert tuple(axis.dim_param or axis.dim_value for axis in axes) == part.output.shape
    assert count_macs.macs(graph) == count_macs.parameters(graph) == 0


@pytest.mark.parametrize("spec", [tsm(SMALL), replace(UNIFORMER, size=SMALL).spec], ids=["tsm", "uniformer"])
def test_every_opset(spec: PreprocessSpec) -> None:
    frames = noise(50, 41)
    for opset in OPSETS:
        assert preprocess_graph_for(spec, opset).opset_import[0].version == opset
    np.testing.assert_array_equal(run(spec, frames, OPSETS[-1]), run(spec, frames))


@pytest.mark.parametrize("spec", [tsm(SMALL), UNIFORMER.spec], ids=["tsm", "uniformer"])
def test_no_doubles(spec: PreprocessSpec) -> None:
    """TensorRT has no doubles, and OpenVINO's CPU plugin narrows them."""
    graph = onnx.shape_inference.infer_shapes(preprocess_graph_for(spec, 18), strict_mode=True, data_prop=True).graph
    tensors = [*graph.value_info, *graph.output]
    assert len(tensors) >= len(graph.node)
    assert onnx.TensorProto.DOUBLE not in {tensor.type.tensor_type.elem_type for tensor in tensors}


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="without openvino")
@pytest.mark.parametrize("spec", [tsm(224), SLOWFAST.spec, UNIFORMER.spec], ids=["tsm", "slowfast", "uniformer"])
def test_openvino(spec: PreprocessSpec) -> None:
    core = shared_core()
    model = core.read_model(preprocess_graph_for(spec, 18).SerializeToString())
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for height, width in [(240, 320), (448, 460), (1080, 608), (100, 177), (987, 1301)]:
        frames = noise(height, width, 2)
        actual = request.infer([frames])[0]
        np.testing.assert_allclose(actual, run(spec, frames), rtol=0, atol=3e-6)
