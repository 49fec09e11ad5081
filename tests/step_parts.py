"""FrameExit bundles as earlier versions wrote them: a part for the gate and the classifier of every step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vbench.export.graph.write import write_graph
from vbench.runtime.bundle.bundle import MANIFEST

_OPSETS = [helper.make_opsetid("", 18)]
Json = dict[str, Any]
Names = dict[bytes, str]  # of tensors, by content: the exporter stored equal tensors once, under the name of the first


def to_step_parts(folder: Path, schema_version: int = 4, first_threshold: float = 0.95) -> Path:
    """Convert a bundle in place to what an earlier version would have written.

    Args:
        first_threshold: value that a bundle of schema version 3 records.
    """
    content: Json = json.loads((folder / MANIFEST).read_bytes())
    names: Names = {}
    for name in [name for name in content["parts"] if name.startswith(("gates", "classifiers"))]:
        part = content["parts"].pop(name)
        steps = {graph.name: graph for graph in _step_graphs(folder, name, part, names)}
        for file in (*part["files"].values(), *part["other_forms"]["gpu"].values()):
            (folder / file["path"]).unlink(missing_ok=True)  # all precisions share it
        content["parts"] |= {step: _entry(folder, graph, part) for step, graph in steps.items()}
        for check in content["checks"].values():
            largest = check["parts"].pop(name)
            check["parts"] |= {step: {key: value / 2 for key, value in largest.items()} for step in steps}
            check["parts"][max(steps)] = largest
    (folder / content["weights"]["fp32"]["path"]).unlink()
    content["weights"] = {}
    if schema_version == 3:
        content["schema_version"] = 3
        content["policy"]["first_threshold"] = first_threshold
        del content["architecture"]
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _step_graphs(folder: Path, name: str, part: Json, names: Names) -> Iterator[onnx.GraphProto]:
    """Yield the graphs of the steps that a part evaluates."""
    model = onnx.load(folder / part["other_forms"]["gpu"]["fp32"]["path"])
    stacked = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kind, mark, gate_set = name.partition("__")
    steps = stacked["numbers"].astype(int).ravel()
    for index, step in enumerate(steps):
        weights = {
            name.replace("_", "."): value.reshape(len(steps), *_shape(name, value, len(steps)))[index]
            for name, value in stacked.items()
            if name.endswith(("weight", "bias"))
        }
        build = _gate if kind == "gates" else _classifier
        yield build(f"{kind[:-1]}_{step:02d}{mark}{gate_set}", f"parts.{step}{mark}{gate_set}", part, weights, names)


def _shape(name: str, value: np.ndarray, steps: int) -> tuple[int, ...]:
    """Return the shape of a weight or bias of one step; convolutions have two more axes."""
    rows = len(value) // steps
    if name.endswith("bias"):
        return (rows,)
    return (rows, value.shape[1], 1, 1) if name.startswith("conv") else (rows, value.shape[1])


def _gate(name: str, prefix: str, part: Json, weights: Mapping[str, np.ndarray], names: Names) -> onnx.GraphProto:
    tensors, stored = _store({f"{prefix}.gate.{key}": value for key, value in weights.items()}, names)
    (conv1, conv2, linear) = (tensors[start : start + 2] for start in (0, 2, 4))
    features = weights["conv2.bias"].size
    nodes = [
        *_embedding("state", conv1, conv2),
        *_embedding("previous", conv1, conv2),
        helper.make_node("Concat", ["state_view", "previous_view"], ["cat"], axis=1),
        helper.make_node("Gemm", ["cat", *linear], ["logit"], transB=1),
        helper.make_node("Sigmoid", ["logit"], ["sigmoid"]),
        helper.make_node("Sub", ["one", "sigmoid"], ["gate"]),
    ]
    constants = {"one": np.float32(1), "axes": np.array([2, 3]), "shape": np.array([-1, features])}
    return _graph(
        name, nodes, part, [*stored, *(numpy_helper.from_array(np.array(v), k) for k, v in constants.items())]
    )


def _embedding(state: str, conv1: list[str], conv2: list[str]) -> list[NodeProto]:
    return [
        helper.make_node("Unsqueeze", [state, "axes"], [f"{state}_unsqueeze"]),
        helper.make_node("Conv", [f"{state}_unsqueeze", *conv1], [f"{state}_conv1"]),
        helper.make_node("Relu", [f"{state}_conv1"], [f"{state}_relu1"]),
        helper.make_node("Conv", [f"{state}_relu1", *conv2], [f"{state}_conv2"]),
        helper.make_node("Relu", [f"{state}_conv2"], [f"{state}_relu2"]),
        helper.make_node("Reshape", [f"{state}_relu2", "shape"], [f"{state}_view"]),
    ]


def _classifier(name: str, prefix: str, part: Json, weights: Mapping[str, np.ndarray], names: Names) -> onnx.GraphProto:
    renamed = {f"{prefix}.{key.removeprefix('classifier.')}": value for key, value in weights.items()}
    tensors, stored = _store(renamed, names)
    return _graph(name, [helper.make_node("Gemm", ["state", *tensors], ["logits"], transB=1)], part, stored)


def _store(weights: Mapping[str, np.ndarray], names: Names) -> tuple[list[str], list[TensorProto]]:
    """Return the name of the tensor that holds each weight, and the tensors."""
    used = {
        names.setdefault(repr(value.shape).encode() + value.tobytes(), name): value for name, value in weights.items()
    }
    found = [names[repr(value.shape).encode() + value.tobytes()] for value in weights.values()]
    return found, [numpy_helper.from_array(value, name) for name, value in used.items()]


def _graph(name: str, nodes: list[NodeProto], part: Json, stored: list[TensorProto]) -> onnx.GraphProto:
    inputs = [_value(each) for each in part["inputs"] if each["name"] != "step"]
    return helper.make_graph(nodes, name, inputs, [_value(part["output"])], stored)


def _value(spec: Json) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec["name"], TensorProto.FLOAT, spec["shape"])


def _entry(folder: Path, graph: onnx.GraphProto, part: Json) -> Json:
    """Write the graph of a step, and return its entry in the manifest."""
    model = helper.make_model(graph, opset_imports=_OPSETS, ir_version=10)
    file = write_graph(model, folder, "fp32").model_dump(mode="json")
    inputs = [each for each in part["inputs"] if each["name"] != "step"]
    files = dict.fromkeys(part["files"], file)
    return {"inputs": inputs, "output": part["output"], "macs": part["macs"], "parameters": 0, "files": files}
