"""Convert graphs to float16: half-precision weights and arithmetic, float32 inputs and outputs.

The converter is ONNX Runtime's version of the one in onnxconverter-common; the export requires ONNX Runtime anyway. A
weight beyond the range of float16 is an error, because clamping would change the network; weights too small for float16
become 0 and are counted. A node that reads or writes activations too large for float16 stays in float32.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ...errors import CheckError
from ...runtime.bundle.manifest import PrecisionSpec
from .common import ConvertedGraph, clean_up
from .quiet import quiet

_LARGEST = float(np.finfo(np.float16).max)
_LIMIT = _LARGEST / 2  # margin for activations, since other videos may exceed the measured values
_WEIGHTED = {"Conv", "Gemm", "MatMul"}


def to_fp16(model: onnx.ModelProto, peaks: Mapping[str, float]) -> ConvertedGraph:
    """Return ``model`` in float16, with a cast at each input and output.

    Args:
        peaks: largest measured magnitude of each activation, by tensor; nodes with an activation above 32752 stay in
            float32.

    Raises:
        CheckError: a weight is NaN or too large for float16 (above 65504), no layer can be converted, or the result is
            not a valid graph.
    """
    import onnxruntime
    from onnxruntime.transformers import float16

    copy = _with_node_names(model)
    wide = _wide_nodes(copy, peaks)
    flushed = _flush(copy, wide)
    with quiet():
        found = float16.convert_float_to_float16(copy, keep_io_types=True, node_block_list=sorted(wide))
    _remove_round_trips(found.graph)
    found = clean_up(found, model)
    converted, kept = _op_counts(found, set(float16.DEFAULT_OP_BLOCK_LIST), wide)
    if wide and not _WEIGHTED & set(converted):
        raise CheckError(
            f"{model.graph.name}: the activations reach {max(peaks.values()):.3g}, and no layer stays within half the "
            f"fp16 maximum {_LARGEST:g}",
            "omit fp16",
        )
    spec = PrecisionSpec(
        parts=(model.graph.name,),
        weights="float16",
        activations="float16",
        granularity="elementwise",
        converted=converted,
        kept=kept,
        weights_flushed_to_zero=flushed,
        calibration=None,
        tool="onnxruntime.transformers.float16",
        version=onnxruntime.__version__,
        largest_activation=max(peaks.values(), default=None),
    )
    return ConvertedGraph(found, spec)


def _with_node_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every node has a unique name; the converter requires names in order to exclude nodes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    counts = Counter(node.name for node in copy.graph.node)
    for place, node in enumerate(copy.graph.node):
        if not node.name or counts[node.name] > 1:
            node.name = f"{node.op_type.lower()}_{place}"
    return copy


def _wide_nodes(model: onnx.ModelProto, peaks: Mapping[str, float]) -> set[str]:
    """Return the names of the nodes that read or write an activation too large for float16."""
    wide = {tensor for tensor, peak in peaks.items() if not peak <= _LIMIT}
    return {node.name for node in model.graph.node if wide.intersection([*node.input, *node.output])}


def _flush(model: onnx.ModelProto, wide: Collection[str]) -> int:
    """Set weights too small for float16 to 0, since the converter would round them up, and return their number."""
    used = {name for node in model.graph.node if node.name not in wide for name in node.input}
    flushed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name not in used:
            continue
        values = numpy_helper.to_array(tensor)
        largest = float(np.abs(values).max(initial=0))
        if not largest <= _LARGEST:
            raise CheckError(
                f"{model.graph.name}: {tensor.name} reaches {largest:.3g}, above the fp16 maximum {_LARGEST:g}",
                "omit fp16",
            )
        lost = (values != 0) & (values.astype(np.float16) == 0)
        if lost.any():
            tensor.CopyFrom(numpy_helper.from_array(np.where(lost, np.float32(0), values), tensor.name))
            flushed += int(lost.sum())
    return flushed


def _remove_round_trips(graph: onnx.GraphProto) -> None:
    """Remove casts to float16 and back between float32 nodes, because large values would overflow there.

    The converter places a cast on both sides of every such node, and repeats a cast for each node that reads a tensor.
    """
    nodes = list({tuple(node.output): node for node in graph.node}.values())
    producers = {name: node for node in nodes for name in node.output}
    outputs = {tensor.name for tensor in graph.output}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in nodes:
        before = producers.get(node.input[0]) if _casts_to(node, TensorProto.FLOAT) else None
        if before is None or not _casts_to(before, TensorProto.FLOAT16):
            kept.append(node)
        elif node.output[0] in outputs:  # the node that computes the value now writes the output directly
            renamed[before.input[0]] = node.output[0]
        else:
            renamed[node.output[0]] = before.input[0]
    for node in kept:
        for names in (node.input, node.output):
            names[:] = [_resolve(name, renamed) for name in names]
    read = {name for node in kept for name in node.input} | outputs
    del graph.node[:]
    graph.node.extend(node for node in kept if node.op_type != "Cast" or read.intersection(node.output))


def _resolve(name: str, renamed: Mapping[str, str]) -> str:
    while name in renamed:
        name = renamed[name]
    return name


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(each.name == "to" and each.i == kind for each in node.attribute)


def _op_counts(
    model: onnx.ModelProto, blocked: set[str], wide: Collection[str]
) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    kept: defaultdict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in blocked or node.name in wide:
            kept[node.op_type].append(node.name)
        elif node.op_type != "Cast":
            counts[node.op_type] += 1
    return dict(counts), {op: tuple(names) for op, names in kept.items()}
