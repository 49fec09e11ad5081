"""What every conversion of a graph to another precision gives back."""

from __future__ import annotations

from typing import NamedTuple

import onnx

from ...runtime.bundle.manifest import PrecisionSpec
from ..graph.torch_to_onnx import check_graph


class ConvertedGraph(NamedTuple):
    """A graph in another precision and how it was made."""

    model: onnx.ModelProto
    spec: PrecisionSpec


def clean_up(found: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return what a converter made of ``model`` checked, in an order that can be run, under the same name and producer.

    The converters' notes go, and so do the inner types and shapes, which they do not always bring up to date.

    Raises:
        CheckError: it is not a valid graph.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel

    ONNXModel(found).topological_sort()
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    found.graph.name = model.graph.name
    del found.metadata_props[:]
    del found.graph.value_info[:]
    return check_graph(found)
