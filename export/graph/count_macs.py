"""Count the multiply-accumulates and parameters of a graph.

The counts come from the shapes in the exported graph, so they describe what actually runs. As in the literature, only
convolutions and matrix products count; additions, activations and resizing do not.
"""

from __future__ import annotations

from math import prod

import onnx
from onnx import shape_inference

from .onnx_text import PREPROCESS

_WEIGHTED = ("Conv", "Gemm", "MatMul")


def macs(model: onnx.ModelProto) -> int:
    """Return the multiply-accumulates of ``model`` at batch size 1; 0 for preprocessing, which only resizes."""
    if model.graph.name == PREPROCESS:
        return 0
    shapes = _shapes(model)
    return sum(_node_macs(node, shapes) for node in model.graph.node if node.op_type in _WEIGHTED)


def parameters(model: onnx.ModelProto) -> int:
    """Return the total number of weights in convolutions and matrix products."""
    weighted = [node for node in model.graph.node if node.op_type in _WEIGHTED]
    names = {name for node in weighted for name in node.input[1:]}
    return sum(prod(tensor.dims) for tensor in model.graph.initializer if tensor.name in names)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.Clear()
                axis.dim_value = 1
    graph = shape_inference.infer_shapes(single, data_prop=True).graph
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        known[value.name] = tuple(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
    return known


def _node_macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    output, weight = shapes[node.output[0]], shapes[node.input[1]]
    if node.op_type == "Conv":
        return prod(output) * prod(weight[1:])
    return prod(output) * shapes[node.input[0]][-1]
