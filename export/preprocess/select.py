"""Select the graph that implements a network's preprocessing.

Sizes, crops, channel order and normalization are parameters of the graphs. A network that combines them in a new way
does not require a new graph; only a new resize method does.
"""

from __future__ import annotations

import onnx

from ...errors import UsageError
from ...models.preprocess.multi_crop import CROP_POSITIONS
from ...models.preprocess.shorter_side import PreprocessSpec
from .multi_crop import ffn3d_preprocess_graph
from .pillow_resize import tsm_preprocess_graph
from .shorter_side import frameexit_preprocess_graph

_CENTER = ("center_half_to_even",)
_ROUNDED_UP = ("center_half_up",)  # the only crop that leaves margins on both sides


def preprocess_graph_for(spec: PreprocessSpec, opset: int) -> onnx.ModelProto:
    """Return the graph from ``frames`` to ``pixels`` that implements ``spec``.

    The pixels are ``[n, crops, 3, size, size]``; those of FrameExit (resized as floats, center crop rounded half to
    even) have no crop axis: ``[n, 3, size, size]``.

    Raises:
        UsageError: no graph implements ``spec``.
    """
    center_rgb = spec.crops == _CENTER and spec.channel_order == "rgb"
    if spec.resize == "shorter_side_pillow_bilinear" and center_rgb:
        return tsm_preprocess_graph(spec, opset)
    if spec.resize == "shorter_side_bilinear_truncated":
        if center_rgb and spec.resize_side == spec.input_size:
            return frameexit_preprocess_graph(spec.input_size, spec.mean, spec.std, opset)
        centered = spec.resize_side == spec.input_size or spec.crops == _ROUNDED_UP
        if set(spec.crops) <= set(CROP_POSITIONS) and centered:
            return ffn3d_preprocess_graph(spec, opset)
    raise UsageError(f"no preprocessing graph implements {spec}", "add one in export/preprocess")
