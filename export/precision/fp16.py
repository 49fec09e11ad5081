"""Convert graphs to float16: half-precision weights and arithmetic, float32 inputs and outputs.

The converter ships with ONNX Runtime (its continuation of onnxconverter-common's), which the export needs anyway. A
weight above float16's range is an error, since clamping would change the network; weights too small for float16 become
0 and are counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ...errors import CheckError
from ...runtime.bundle.manifest import PrecisionSpec
from .common import ConvertedGraph, clean_up
from .quiet import quiet

_LARGEST = float(np.finfo(np.float16).max)


def to_fp16(model: onnx.ModelProto) -> ConvertedGraph:
    """Return ``model`` in float16, with a cast at each input and output.

    Raises:
        CheckError: a weight is NaN or too large for float16 (above 65504), or the result is not a valid graph.
    """
    import onnxruntime
    from onnxruntime.transformers import float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    flushed = _flush(copy)
    with quiet():
        found = float16.convert_float_to_float16(copy, keep_io_types=True)
    found = clean_up(found, model)
    converted, kept = _op_counts(found, set(float16.DEFAULT_OP_BLOCK_LIST))
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
    )
    return ConvertedGraph(found, spec)


def _flush(model: onnx.ModelProto) -> int:
    """Set weights too small for float16 to 0 and return their number; the converter would round them up."""
    flushed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        largest = float(np.abs(values).max(initial=0))
        if not largest <= _LARGEST:
            raise CheckError(
                f"{model.graph.name}: {tensor.name} reaches {largest:.3g}, above the fp16 maximum {_LARGEST:g}",
                "leave fp16 out",
            )
        lost = (values != 0) & (values.astype(np.float16) == 0)
        if lost.any():
            tensor.CopyFrom(numpy_helper.from_array(np.where(lost, np.float32(0), values), tensor.name))
            flushed += int(lost.sum())
    return flushed


def _op_counts(model: onnx.ModelProto, blocked: set[str]) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    kept: defaultdict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        if node.op_type in blocked:
            kept[node.op_type].append(node.name)
    counts = Counter(node.op_type for node in model.graph.node if node.op_type not in {"Cast", *blocked})
    return dict(counts), {op: tuple(names) for op, names in kept.items()}
