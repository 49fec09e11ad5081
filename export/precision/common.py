"""Result of a precision conversion, and the cleanup common to all conversions."""

from __future__ import annotations

from typing import NamedTuple

import onnx

from ...runtime.bundle.manifest import PrecisionSpec
from ..graph.check_graph import check_graph


class ConvertedGraph(NamedTuple):
    """A graph in another precision, and a record of how it was converted."""

    model: onnx.ModelProto
    spec: PrecisionSpec


def clean_up(converted: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``converted``, checked and topologically sorted, with the name and producer of the original ``model``.

    Metadata is removed, as are the types and shapes of intermediate tensors, which converters do not always update.

    Raises:
        CheckError: the result is not a valid graph.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel

    ONNXModel(converted).topological_sort()
    converted.producer_name, converted.producer_version = model.producer_name, model.producer_version
    converted.graph.name = model.graph.name
    del converted.metadata_props[:]
    del converted.graph.value_info[:]
    return check_graph(converted)
