"""Activations beyond the range of float16: their nodes stay in float32, and the check sees those that do not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vbench.errors import CheckError
from vbench.export.precision.fp16 import to_fp16
from vbench.export.precision.half_arithmetic import round_to_half

UP = 5e4  # a weight within float16's range


def scaled_graph(where: str) -> onnx.ModelProto:
    """Return matrix products whose values are large at one place: ``first``, ``middle`` or ``last``.

    The large tensor is read by two nodes, a ReLU and an addition.
    """
    up, down = UP, 1 / UP
    names = ["x", "a", "b", "c", "y"]
    scales = {"first": (up, down, 1.0, 1.0), "middle": (1.0, up, down, 1.0), "last": (1.0, 1.0, 1.0, up)}[where]
    identity = np.eye(4, dtype=np.float32)
    weights = [numpy_helper.from_array(identity * np.float32(scale), f"w{i}") for i, scale in enumerate(scales)]
    nodes: list[onnx.NodeProto] = []
    for i, (source, result) in enumerate(pairwise(names)):
        nodes.append(helper.make_node("MatMul", [source, f"w{i}"], [f"{result}_product"]))
        nodes.append(helper.make_node("Relu", [f"{result}_product"], [f"{result}_relu"]))
        nodes.append(helper.make_node("Add", [f"{result}_product", f"{result}_relu"], [result]))
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "backbone", tensors[:1], tensors[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray, names: list[str] | None = None) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(names, {"x": x})


def peaks(model: onnx.ModelProto, x: np.ndarray) -> dict[str, float]:
    named = onnx.ModelProto()
    named.CopyFrom(onnx.shape_inference.infer_shapes(model))
    names = [info.name for info in named.graph.value_info]
    named.graph.output.extend(named.graph.value_info)
    return {name: float(np.abs(array).max()) for name, array in zip(names, run(named, x, names))} | {
        "y": float(np.abs(run(model, x)[0]).max())
    }


X = np.linspace(0.5, 2, 8, dtype=np.float32).reshape(2, 4)


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_nodes_with_large_values_stay_in_float32(where: str) -> None:
    model = scaled_graph(where)
    converted, spec = to_fp16(model, peaks(model, X))
    expected = run(model, X)[0]
    np.testing.assert_allclose(run(round_to_half(converted), X)[0], expected, rtol=2e-3)
    assert set(spec.kept) == {"MatMul", "Relu", "Add"}
    assert spec.converted["MatMul"] >= 2
    assert spec.largest_activation == max(peaks(model, X).values()) > 65504
    floats = [tensor.name for tensor in converted.graph.initializer if tensor.data_type == TensorProto.FLOAT]
    assert len(floats) == len(spec.kept["MatMul"])


@pytest.mark.parametrize("where", ["first", "middle"])
def test_the_check_sees_the_overflow_that_the_cpu_hides(where: str) -> None:
    model = scaled_graph(where)
    converted, _ = to_fp16(model, {})
    assert not np.isfinite(run(round_to_half(converted), X)[0]).all()


def test_a_network_without_a_small_layer_is_refused() -> None:
    model = scaled_graph("middle")
    with pytest.raises(CheckError, match=r"backbone: the activations reach 1e\+06, .*; omit fp16"):
        to_fp16(model, dict.fromkeys(peaks(model, X), 1e6))


def test_values_below_half_the_maximum_are_converted() -> None:
    model = scaled_graph("middle")
    small = {name: min(peak, 32752.0) for name, peak in peaks(model, X).items()}
    assert to_fp16(model, small)[1].kept == {}
