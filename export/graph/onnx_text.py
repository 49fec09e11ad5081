"""Build graphs from ONNX text, for use where tensor sizes depend on the image size, which a trace would freeze."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from .torch_to_onnx import check_graph

PREPROCESS = "preprocess"
Constants = Mapping[str, NDArray[np.generic]]

_GRAPH = """
<ir_version: 10, opset_import: ["" : {opset}], producer_name: "vbench">
{name} (uint8[n, height, width, 3] frames) => (float[n, {shape}] pixels)
{{
{nodes}
}}
"""


def preprocessing_model(nodes: str, shape: tuple[int, ...], constants: Constants, opset: int) -> onnx.ModelProto:
    """Return a checked model in which ``nodes`` compute ``pixels`` ``[n, *shape]`` from ``frames``.

    Only those ``constants`` that the nodes use become initializers.
    """
    model = parser.parse_model(
        _GRAPH.format(name=PREPROCESS, opset=opset, shape=", ".join(map(str, shape)), nodes=nodes)
    )
    used = {name for node in model.graph.node for name in node.input}
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    model.graph.initializer.extend(kept)
    return check_graph(model)


def int64_vector(*values: int) -> NDArray[np.int64]:
    """Return one or more values as an int64 vector."""
    return np.array(values, np.int64)


def float32_vector(*values: float) -> NDArray[np.float32]:
    """Return one or more values as a float32 vector."""
    return np.array(values, np.float32)


def per_channel(values: tuple[float, ...] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Return one value per channel, shaped to broadcast over ``[..., 3, height, width]``."""
    return np.array(values, np.float32).reshape(3, 1, 1)
