"""Trace a network once and split the trace into parts.

Exporting each part separately would start the exporter once for every gate and classifier. Tracing one module with all
parts and splitting the graph at their inputs and outputs yields the same graphs in a fraction of the time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from ...models.part import Part, PartTensor
from .check_graph import check_graph
from .fold_batch_norm import fold_batch_norms

DEFAULT_OPSET = 18
OPSETS = range(18, 24)
_BATCH = "n"
_ELEMENT = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}


def trace_parts(
    parts: Sequence[Part],
    opset: int = DEFAULT_OPSET,
    prepare: Callable[[nn.Module], nn.Module] = fold_batch_norms,
) -> dict[str, onnx.ModelProto]:
    """Return a checked ONNX graph for each part, by name, with a dynamic first axis (``n``) and no batch norms.

    Args:
        prepare: transforms a part's module before tracing; folds the batch norms by default.
    """
    whole = _AllParts(parts, prepare)
    traced = _export(whole, opset)
    return {part.name: _cut(traced, part) for part in parts}


class _AllParts(nn.Module):
    """All parts in parallel: takes each distinct input once, and returns every output."""

    def __init__(self, parts: Sequence[Part], prepare: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(prepare(part.module) for part in parts)
        self.outputs = [part.name for part in parts]
        self.inputs = {tensor.name: tensor for part in parts for tensor in part.inputs}
        self.input_names = [[tensor.name for tensor in part.inputs] for part in parts]

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = dict(zip(self.inputs, tensors))
        return tuple(part(*(given[name] for name in names)) for part, names in zip(self.parts, self.input_names))


def _export(whole: _AllParts, opset: int) -> onnx.ModelProto:
    # Use a batch of two, because the exporter treats a batch size of one as a constant.
    examples = tuple(torch.zeros([2, *_static_shape(tensor)]) for tensor in whole.inputs.values())
    with _quiet_exporter():
        program = torch.onnx.export(
            whole,
            examples,
            dynamo=True,
            opset_version=opset,
            input_names=list(whole.inputs),
            output_names=whole.outputs,
            dynamic_shapes=(tuple({0: torch.export.Dim.DYNAMIC} for _ in examples),),
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's messages about missing optional packages and copied tensors."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _cut(traced: onnx.ModelProto, part: Part) -> onnx.ModelProto:
    """Extract from ``traced`` the subgraph between a part's inputs and its output."""
    nodes = _nodes_between(traced, {tensor.name for tensor in part.inputs}, part.name)
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        [_rename_output(node, part.name, part.output.name) for node in nodes],
        part.name,
        [_value_info(tensor) for tensor in part.inputs],
        [_value_info(part.output)],
        [tensor for tensor in traced.graph.initializer if tensor.name in used],
    )
    model = helper.make_model(graph, opset_imports=traced.opset_import, ir_version=traced.ir_version)
    model.producer_name = "vbench"
    return check_graph(model)


def _nodes_between(traced: onnx.ModelProto, inputs: set[str], output: str) -> list[onnx.NodeProto]:
    needed, nodes = {output}, []
    for node in reversed(traced.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(name for name in node.input if name not in inputs)
    return nodes[::-1]


def _rename_output(node: onnx.NodeProto, old: str, new: str) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    # The exporter's metadata is not part of the network and contains source paths on this machine.
    copied.ClearField("metadata_props")
    copied.ClearField("doc_string")
    copied.output[:] = [new if name == old else name for name in node.output]
    return copied


def _value_info(tensor: PartTensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _ELEMENT[tensor.dtype], list(tensor.shape))


def _static_shape(tensor: PartTensor) -> list[int]:
    assert tensor.shape[0] == _BATCH
    return [int(size) for size in tensor.shape[1:]]
