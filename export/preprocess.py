"""FrameExit's preprocessing as a graph: uint8 RGB frames of any size in, normalised network input out.

Written by hand rather than traced, since its sizes depend on the picture, and without ONNX's Resize, whose rounding of
coordinates differs between engines. The crop is folded into the resize: for each of the ``size`` rows and columns that
remain, the graph computes the two source lines and their weight in PyTorch's float32 arithmetic. Columns are made the
outer axis before they are picked: picking single pixels costs more than everything else together.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from .trace import checked

_GRAPH = """
<ir_version: 10, opset_import: ["" : {opset}], producer_name: "vbench">
preprocess (uint8[n, height, width, 3] frames) => (float[n, 3, {size}, {size}] pixels)
{{
    sides = Shape <start = 1, end = 3> (frames)
    shorter = ReduceMin <keepdims = 1> (sides)
    scaled = Mul (sides, size)
    resized = Div (scaled, shorter)

    surplus = Sub (resized, size)
    surplus_float = Cast <to = 1> (surplus)
    margin = Mul (surplus_float, half)
    origin = Round (margin)

    sides_float = Cast <to = 1> (sides)
    resized_float = Cast <to = 1> (resized)
    ratio = Div (sides_float, resized_float)
    ratio_column = Unsqueeze (ratio, one)
    origin_column = Unsqueeze (origin, one)
    target = Add (origin_column, centres)
    stretched = Mul (target, ratio_column)
    shifted = Sub (stretched, half)
    source = Max (shifted, zero_float)
    lower_float = Floor (source)
    weight = Sub (source, lower_float)
    lower = Cast <to = 7> (lower_float)
    next = Add (lower, one)
    last = Sub (sides, one)
    last_column = Unsqueeze (last, one)
    upper = Min (next, last_column)

    row_low, column_low = Split <axis = 0, num_outputs = 2> (lower)
    row_high, column_high = Split <axis = 0, num_outputs = 2> (upper)
    row_weight, column_weight = Split <axis = 0, num_outputs = 2> (weight)
    row_low_flat = Squeeze (row_low, zero)
    row_high_flat = Squeeze (row_high, zero)
    column_low_flat = Squeeze (column_low, zero)
    column_high_flat = Squeeze (column_high, zero)
    column_weights = Reshape (column_weight, column_shape)

    top_bytes = Gather <axis = 1> (frames, row_low_flat)
    bottom_bytes = Gather <axis = 1> (frames, row_high_flat)
    top_columns = Transpose <perm = [0, 2, 3, 1]> (top_bytes)
    bottom_columns = Transpose <perm = [0, 2, 3, 1]> (bottom_bytes)
    top = Cast <to = 1> (top_columns)
    bottom = Cast <to = 1> (bottom_columns)
    row_step = Sub (bottom, top)
    row_part = Mul (row_step, row_weight)
    rows = Add (top, row_part)

    left = Gather <axis = 1> (rows, column_low_flat)
    right = Gather <axis = 1> (rows, column_high_flat)
    column_step = Sub (right, left)
    column_part = Mul (column_step, column_weights)
    columns = Add (left, column_part)

    picture = Transpose <perm = [0, 2, 3, 1]> (columns)
    centred = Sub (picture, mean)
    pixels = Mul (centred, inverse_std)
}}
"""


def preprocess_graph(size: int, mean: tuple[float, ...], std: tuple[float, ...], opset: int) -> onnx.ModelProto:
    """Return the checked graph for a network input of ``size`` x ``size`` pixels.

    ``mean`` and ``std`` are for values in [0, 1], per channel; the graph works on 0..255 and has the 255 folded in.
    """
    model = parser.parse_model(_GRAPH.format(opset=opset, size=size))
    constants: dict[str, NDArray[np.generic]] = {
        "size": np.array([size], np.int64),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "column_shape": np.array([size, 1, 1], np.int64),
        "half": np.array([0.5], np.float32),
        "zero_float": np.array([0], np.float32),
        "centres": (np.arange(size, dtype=np.float32) + np.float32(0.5))[None],
        "mean": _per_plane(np.array(mean) * 255),
        "inverse_std": _per_plane(1 / (np.array(std) * 255)),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return checked(model)


def _per_plane(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape(3, 1, 1)
