"""Preprocessing graph for SlowFast, Uniformer and X3D, with all crops on which a video is scored.

The original computes the longer side in doubles, which TensorRT lacks and OpenVINO's CPU plugin narrows. The result
differs from integer arithmetic only where the quotient of the sides is a multiple of 1 / side that doubles cannot
represent; the graph has a table of these sides. The original normalizes before resizing; the graph normalizes
afterward, on fewer pixels, with the same result up to rounding.
"""

from __future__ import annotations

import math

import onnx

from ...models.preprocess.multi_crop import CROP_POSITIONS
from ...models.preprocess.shorter_side import PreprocessSpec
from ..graph.onnx_text import Constants, float32_vector, int64_vector, preprocessing_model
from .bilinear import MARGIN_SHARES, constants, normalize_nodes, scaled_nodes, view_nodes

_MOST_ELONGATED = 64  # largest aspect ratio in the table; beyond it, the longer side may be too large by one

_RESIZED = """
    quotient = Div (scaled, shorter)
    product = Mul (quotient, shorter)
    is_whole = Equal (product, scaled)
    is_left_alone = Equal (shorter, side)
    is_resized = Not (is_left_alone)
    may_be_less = And (is_whole, is_resized)
    at_most_one_less = Cast <to = 7> (may_be_less)
    quotient_column = Unsqueeze (quotient, one)
    is_entry = Equal (quotient_column, lost)
    entries = Cast <to = 7> (is_entry)
    is_lost = ReduceMax <keepdims = 0> (entries, one)
    one_less = Mul (is_lost, at_most_one_less)
    resized = Sub (quotient, one_less)
"""
# PyTorch rounds once in the division and once in a fused multiply-subtract; additional roundings would change some
# pixels by 1e-4 to 1e-3. Splitting factors into 12-bit halves (Veltkamp's splitting) makes products exact up to a
# longer side of 2047: the remainder corrects a quotient computed by multiplying with an inverse, as OpenVINO does, and
# the final addition of a coordinate rounds like the fused operation.
_HALVES = """
    spread = Mul (ratio_column, splitter)
    excess = Sub (spread, ratio_column)
    ratio_high = Sub (spread, excess)
    estimate_low = Sub (ratio_column, ratio_high)

    sides_column = Unsqueeze (sides_float, one)
    resized_column = Unsqueeze (resized_float, one)
    covered_high = Mul (ratio_high, resized_column)
    covered_low = Mul (estimate_low, resized_column)
    rest_high = Sub (sides_column, covered_high)
    rest = Sub (rest_high, covered_low)
    lacking = Div (rest, resized_column)
    ratio_right = Add (ratio_column, lacking)
    ratio_low = Sub (ratio_right, ratio_high)
"""
_SHIFTED = """
    stretched_high{view} = Mul (target{view}, ratio_high)
    stretched_low{view} = Mul (target{view}, ratio_low)
    shifted_high{view} = Sub (stretched_high{view}, half)
    shifted{view} = Add (shifted_high{view}, stretched_low{view})
"""
_BGR = """
    reordered = Gather <axis = 2> (views, reversed)
"""


def ffn3d_preprocess_graph(spec: PreprocessSpec, opset: int) -> onnx.ModelProto:
    """Return a checked graph from ``frames`` to ``pixels``, float32 ``[n, crops, 3, size, size]``."""
    size, crops = spec.input_size, tuple(CROP_POSITIONS.index(crop) for crop in spec.crops)
    nodes = scaled_nodes(_RESIZED) + _HALVES + _views(crops) + _BGR * (spec.channel_order == "bgr")
    nodes += normalize_nodes("views" if spec.channel_order == "rgb" else "reordered")
    side = spec.resize_side
    values = {**constants(size, side, spec.mean, spec.std), **_own_constants(side)}
    return preprocessing_model(nodes, (len(crops), 3, size, size), values, opset)


def _views(crops: tuple[int, ...]) -> str:
    """Return the nodes for crops along the longer side: 0 is at its start, 1 at its center, 2 at its end."""
    pictures = "".join(
        view_nodes(f"_{number}", MARGIN_SHARES[crop], "Ceil", _SHIFTED) for number, crop in enumerate(crops)
    )
    axes = "".join(f"\n    view_{number} = Unsqueeze (picture_{number}, one)" for number in range(len(crops)))
    names = ", ".join(f"view_{number}" for number in range(len(crops)))
    return f"{pictures}{axes}\n    views = Concat <axis = 1> ({names})"


def _own_constants(side: int) -> Constants:
    return {
        "lost": int64_vector(*_lost(side))[None],
        "splitter": float32_vector(2**12 + 1),
        "reversed": int64_vector(2, 1, 0),
    }


def _lost(shorter: int) -> list[int]:
    """Return all longer sides that come out smaller by one in doubles, or ``[0]``, which matches no side."""
    sides = range(shorter, shorter * _MOST_ELONGATED)
    return [side for side in sides if math.floor(side / shorter * shorter) < side] or [0]
