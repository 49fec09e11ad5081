"""Graph nodes shared by the float preprocessing graphs: bilinear resize of the shorter side, crops and normalization.

The nodes are handwritten rather than traced because tensor sizes depend on the image size. They avoid ONNX's Resize,
whose coordinate rounding differs between engines. The crop is folded into the resize: for each of the ``size`` rows and
columns in the crop, the graph computes the two source lines and their weight in PyTorch's float32 arithmetic. Columns
become the outer axis before the gather, because gathering single pixels costs more than all other nodes together.
Columns beyond the crop are dropped first: for 1080p, the graph then takes half the time. DequantizeLinear converts the
bytes of a row and multiplies them with the row's weight in one pass, which saves a third of the passes over the crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph.onnx_text import Constants, float32_vector, int64_vector, per_channel

MARGIN_SHARES = ("zero_float", "half", "one_float")  # constants for the share of the surplus before the crop

_SCALED = """
    sides = Shape <start = 1, end = 3> (frames)
    shorter = ReduceMin <keepdims = 1> (sides)
    scaled = Mul (sides, side)
"""
_RATIO = """
    surplus = Sub (resized, size)
    surplus_float = Cast <to = 1> (surplus)
    sides_float = Cast <to = 1> (sides)
    resized_float = Cast <to = 1> (resized)
    ratio = Div (sides_float, resized_float)
    ratio_column = Unsqueeze (ratio, one)
    last = Sub (sides, one)
    last_column = Unsqueeze (last, one)
"""
_VIEW = """
    margin{view} = Mul (surplus_float, {place})
    origin{view} = {rounding} (margin{view})
    origin_column{view} = Unsqueeze (origin{view}, one)
    target{view} = Add (origin_column{view}, centers)
{shifted}
    source{view} = Max (shifted{view}, zero_float)
    lower_float{view} = Floor (source{view})
    weight{view} = Sub (source{view}, lower_float{view})
    lower{view} = Cast <to = 7> (lower_float{view})
    next{view} = Add (lower{view}, one)
    upper{view} = Min (next{view}, last_column)

    row_low{view}, column_low{view} = Split <axis = 0, num_outputs = 2> (lower{view})
    row_high{view}, column_high{view} = Split <axis = 0, num_outputs = 2> (upper{view})
    row_weight{view}, column_weight{view} = Split <axis = 0, num_outputs = 2> (weight{view})
    row_low_flat{view} = Squeeze (row_low{view}, zero)
    row_high_flat{view} = Squeeze (row_high{view}, zero)
    column_low_flat{view} = Squeeze (column_low{view}, zero)
    column_high_flat{view} = Squeeze (column_high{view}, zero)
    column_weights{view} = Reshape (column_weight{view}, column_shape)

    begin{view} = Slice (column_low_flat{view}, zero, one)
    last_needed{view} = Slice (column_high_flat{view}, minus_one, beyond)
    end{view} = Add (last_needed{view}, one)
    left_place{view} = Sub (column_low_flat{view}, begin{view})
    right_place{view} = Sub (column_high_flat{view}, begin{view})

    top_rows{view} = Gather <axis = 1> (frames, row_low_flat{view})
    bottom_rows{view} = Gather <axis = 1> (frames, row_high_flat{view})
    top_bytes{view} = Slice (top_rows{view}, begin{view}, end{view}, two)
    bottom_bytes{view} = Slice (bottom_rows{view}, begin{view}, end{view}, two)
    bottom_share{view} = Squeeze (row_weight{view}, zero)
    top_share{view} = Sub (one_float, bottom_share{view})
    top_flat{view} = Reshape (top_bytes{view}, flat_rows)
    bottom_flat{view} = Reshape (bottom_bytes{view}, flat_rows)
    top{view} = DequantizeLinear <axis = 1> (top_flat{view}, top_share{view})
    bottom{view} = DequantizeLinear <axis = 1> (bottom_flat{view}, bottom_share{view})
    rows_flat{view} = Add (top{view}, bottom{view})
    rows{view} = Reshape (rows_flat{view}, pixel_rows)
    by_column{view} = Transpose <perm = [0, 2, 3, 1]> (rows{view})

    left{view} = Gather <axis = 1> (by_column{view}, left_place{view})
    right{view} = Gather <axis = 1> (by_column{view}, right_place{view})
    column_step{view} = Sub (right{view}, left{view})
    column_part{view} = Mul (column_step{view}, column_weights{view})
    columns{view} = Add (left{view}, column_part{view})
    picture{view} = Transpose <perm = [0, 2, 3, 1]> (columns{view})
"""
_NORMALIZE = """
    centered = Sub ({pictures}, mean)
    pixels = Mul (centered, inverse_std)
"""


def scaled_nodes(resized: str) -> str:
    """Return the nodes up to ``ratio``, including those in ``resized``, which compute ``resized`` from ``scaled``."""
    return _SCALED + resized + _RATIO


def view_nodes(view: str, place: str, rounding: str, shifted: str) -> str:
    """Return the nodes that compute one crop: the tensor ``picture{view}``, float32 in 0..255, channels first.

    Args:
        view: suffix of all tensor names.
        place: one of ``MARGIN_SHARES``.
        rounding: operator that rounds the position of the crop's first line to an integer.
        shifted: nodes that compute ``shifted``, ``target * ratio - 0.5``, from ``target`` and ``ratio_column``.
    """
    return _VIEW.format(view=view, place=place, rounding=rounding, shifted=shifted.format(view=view))


def normalize_nodes(pictures: str) -> str:
    """Return the nodes that normalize the tensor named ``pictures`` to ``pixels``."""
    return _NORMALIZE.format(pictures=pictures)


def constants(size: int, side: int, mean: Sequence[float], std: Sequence[float]) -> Constants:
    """Return the constants of the nodes.

    Args:
        size: height and width of a crop.
        side: shorter side after resizing.
        mean: mean per channel, for values in [0, 1] (those in the graph are in 0..255).
        std: standard deviation per channel, for the same values.
    """
    return {
        "size": int64_vector(size),
        "side": int64_vector(side),
        "zero": int64_vector(0),
        "one": int64_vector(1),
        "two": int64_vector(2),
        "minus_one": int64_vector(-1),
        "beyond": int64_vector(2**31 - 1),
        "flat_rows": int64_vector(0, 0, -1),
        "pixel_rows": int64_vector(0, 0, -1, 3),
        "column_shape": int64_vector(size, 1, 1),
        "zero_float": float32_vector(0),
        "half": float32_vector(0.5),
        "one_float": float32_vector(1),
        "centers": (np.arange(size, dtype=np.float32) + np.float32(0.5))[None],
        "mean": per_channel(np.array(mean) * 255),
        "inverse_std": per_channel(1 / (np.array(std) * 255)),
    }
