"""Run half-precision graphs in true half precision on a CPU.

ONNX Runtime has no float16 kernels for CPUs: it computes such nodes in float32 and passes float32 values between them,
so a value beyond 65504 stays finite there but becomes infinite on the hardware for which the graph is intended. Here,
every result is rounded to float16 by explicit casts, which the optimizer keeps because they lose precision. Sums inside
a node are float32, as in the kernels of TensorRT, CUDA and OpenVINO.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest
from ..graph.write import write_graph

_EXACT = {"Concat", "Flatten", "Identity", "MaxPool", "Relu", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}


def with_half_arithmetic(bundle: Bundle[Manifest], precision: str, scratch: Path) -> Bundle[Manifest]:
    """Return ``bundle`` with its fp16 graphs replaced by graphs that round, written to its subfolder ``scratch``."""
    details = bundle.manifest.precision_details.get(precision)
    if details is None or details.activations != "float16":
        return bundle
    parts = dict(bundle.manifest.parts)
    for part in details.parts:
        model = round_to_half(onnx.load(bundle.part_file(part, precision)))
        file = write_graph(model, scratch, precision)
        path = (scratch / file.path).relative_to(bundle.path).as_posix()
        files = {**parts[part].files, precision: file.model_copy(update={"path": path})}
        parts[part] = parts[part].model_copy(update={"files": files})
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"parts": parts}))


def round_to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a float32 graph that rounds every float16 result of ``model`` to float16."""
    half = _half_tensors(model)
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    for tensor in graph.initializer:
        _widen(tensor)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(node for each in model.graph.node for node in _rounded(each, half))
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    rounded.graph.CopyFrom(graph)
    return rounded


def _half_tensors(model: onnx.ModelProto) -> set[str]:
    found = onnx.shape_inference.infer_shapes(model).graph
    return {info.name for info in found.value_info if info.type.tensor_type.elem_type == TensorProto.FLOAT16}


def _rounded(node: onnx.NodeProto, half: set[str]) -> Iterator[onnx.NodeProto]:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    for attribute in copied.attribute:
        if attribute.HasField("t"):
            _widen(attribute.t)
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
    results = [] if node.op_type in _EXACT else [name for name in node.output if name in half]
    for name in results:
        copied.output[list(node.output).index(name)] = f"{name}_wide"
    yield copied
    for name in results:
        yield helper.make_node("Cast", [f"{name}_wide"], [f"{name}_half"], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
