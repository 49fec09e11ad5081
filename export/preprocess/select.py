"""Which graph does what a network's preprocessing says."""

from __future__ import annotations

import onnx

from ...models.preprocess.multi_crop import PLACES
from ...models.preprocess.shorter_side import PreprocessSpec
from .multi_crop import ffn3d_preprocess_graph
from .pillow_resize import tsm_preprocess_graph
from .shorter_side import preprocess_graph


def graph_of(spec: PreprocessSpec, opset: int) -> onnx.ModelProto:
    """Return the graph that does what ``spec`` says, ``frames`` to ``pixels``.

    The pixels are ``[n, crops, 3, size, size]``, those of FrameExit (floats, the centre with halves to even), which
    knows no crops, ``[n, 3, size, size]``.
    """
    if spec.resize == "shorter_side_pillow_bilinear":
        return tsm_preprocess_graph(spec.input_size, opset)
    if spec.crops == ("center_half_to_even",):
        return preprocess_graph(spec.input_size, spec.mean, spec.std, opset)
    places = tuple(PLACES.index(crop) for crop in spec.crops)
    return ffn3d_preprocess_graph(spec.input_size, places, spec.channel_order, opset)
