"""Preprocessing graph for FrameExit: uint8 RGB frames of any size to normalized network input."""

from __future__ import annotations

import onnx

from ..graph.onnx_text import preprocessing_model
from .bilinear import constants, normalize_nodes, scaled_nodes, view_nodes

_RESIZED = """
    resized = Div (scaled, shorter)
"""
_SHIFTED = """
    stretched{view} = Mul (target{view}, ratio_column)
    shifted{view} = Sub (stretched{view}, half)
"""


def frameexit_preprocess_graph(
    size: int, mean: tuple[float, ...], std: tuple[float, ...], opset: int
) -> onnx.ModelProto:
    """Return a checked graph for a network input of ``size`` x ``size`` pixels, float32 ``[n, 3, size, size]``.

    ``mean`` and ``std`` are per channel, for values in [0, 1].
    """
    center = view_nodes("", "half", "Round", _SHIFTED)
    nodes = scaled_nodes(_RESIZED) + center + normalize_nodes("picture")
    return preprocessing_model(nodes, (3, size, size), constants(size, size, mean, std), opset)
