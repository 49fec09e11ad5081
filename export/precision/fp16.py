"""float16 graphs: weights and arithmetic in half precision, float32 at both ends.

By the converter that ONNX Runtime ships (its own continuation of onnxconverter-common's): the export needs ONNX Runtime
anyway. A weight beyond float16's range is refused, since a clamped one would be another network; weights too small for
it become 0, which is counted.
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
    """Return ``model`` with float16 inside and a cast at each end.

    Raises:
        CheckError: a weight is too large for float16 (above 65504) or is no number, or the result is not a valid graph.
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
        granularity="each value by itself",
        converted=converted,
        kept=kept,
        weights_flushed_to_zero=flushed,
        calibration=None,
        tool="onnxruntime.transformers.float16",
        version=onnxruntime.__version__,
    )
    return ConvertedGraph(found, spec)


def _flush(model: onnx.ModelProto) -> int:
    """Set weights too small for float16 to 0, and return how many; the converter would raise them to its smallest."""
    flushed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        largest = float(np.abs(values).max(initial=0))
        if not largest <= _LARGEST:
            raise CheckError(
                f"{model.graph.name}: {tensor.name} reaches {largest:.3g}, fp16 ends at {_LARGEST:g}", "leave fp16 out"
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
