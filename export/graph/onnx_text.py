"""Build graphs from ONNX text, for what a trace cannot express: sizes that depend on the image, and control flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from .check_graph import check_graph

PREPROCESS = "preprocess"
Constants = Mapping[str, NDArray[np.generic]]

_MODEL = """
<ir_version: 10, opset_import: ["" : {opset}], producer_name: "vbench">
{signature}
{{
{nodes}
}}
"""


def preprocessing_model(nodes: str, shape: tuple[int, ...], constants: Constants, opset: int) -> onnx.ModelProto:
    """Return a checked model in which ``nodes`` compute ``pixels`` ``[n, *shape]`` from ``frames``.

    Only those ``constants`` that the nodes use become initializers.
    """
    size = ", ".join(map(str, shape))
    signature = f"{PREPROCESS} (uint8[n, height, width, 3] frames) => (float[n, {size}] pixels)"
    return text_model(signature, nodes, constants, opset)


def text_model(signature: str, nodes: str, constants: Constants, opset: int) -> onnx.ModelProto:
    """Return a checked model with this signature and these nodes, in ONNX's text form.

    Only those ``constants`` that the nodes use become initializers.
    """
    model = parser.parse_model(_MODEL.format(opset=opset, signature=signature, nodes=nodes))
    used = set(_names_read(model.graph))
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    model.graph.initializer.extend(kept)
    return check_graph(model)


def _names_read(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the tensors that the nodes read, including those of subgraphs."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            yield from _names_read(attribute.g)


def int64_vector(*values: int) -> NDArray[np.int64]:
    """Return one or more values as an int64 vector."""
    return np.array(values, np.int64)


def float32_vector(*values: float) -> NDArray[np.float32]:
    """Return one or more values as a float32 vector."""
    return np.array(values, np.float32)


def per_channel(values: tuple[float, ...] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Return one value per channel, shaped to broadcast over ``[..., 3, height, width]``."""
    return np.array(values, np.float32).reshape(3, 1, 1)
