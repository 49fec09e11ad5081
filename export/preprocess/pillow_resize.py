"""Preprocessing graph for TSM and TEA: Pillow's resize, bit-exact, without Pillow or doubles.

Pillow computes its weights in doubles and rounds them to 22 bits. Each weight is a ratio of two integers below 2**23,
and such a ratio is farther from a rounding boundary than the error of a double, so integer arithmetic gives the same
weights. (TensorRT does not support doubles, and OpenVINO's CPU plugin narrows them.) Sums of weights times pixels need
30 bits; they are split into two sums, over the upper and the lower 11 bits of the weights, both of which are exact in
float32. The crop is folded into the resize, and both passes gather lines along an outer axis, because gathering single
pixels costs more than all other nodes together.

The result is exact up to a 32-fold reduction (a shorter side of 8192 pixels); beyond that, the lower sum may need 25
bits.

The resampling algorithm (fixed-point weights, horizontal then vertical pass) is Pillow's, which is licensed under
MIT-CMU (formerly HPND); see NOTICE.
"""

from __future__ import annotations

import numpy as np
import onnx

from ...models.preprocess.shorter_side import PreprocessSpec
from ..graph.onnx_text import Constants, float32_vector, int64_vector, per_channel, preprocessing_model

# Vectors over the sides are [height, width]. The origin of the crop is half the surplus, rounded half to even.
_SIDES = """
    sides = Shape <start = 1, end = 3> (frames)
    shorter = ReduceMin <keepdims = 1> (sides)
    scaled = Mul (sides, side)
    resized = Div (scaled, shorter)
    surplus = Sub (resized, size)
    margin = Div (surplus, two)
    is_odd = Mod (margin, two)
    surplus_to_even = Add (surplus, is_odd)
    origin = Div (surplus_to_even, two)
    resized_cube = Unsqueeze (resized, one_and_two)
    sides_cube = Unsqueeze (sides, one_and_two)
"""
# A side of B pixels is resized to A. The unit of length is 1 / 2A source pixels: the center of output pixel i is at
# (2i + 1) B, that of source pixel p at (2p + 1) A, and the triangle extends 2 max(A, B) to either side.
_TAPS = """
    larger = Max (sides, resized)
    reach = Mul (larger, two)
    reach_cube = Unsqueeze (reach, one_and_two)
    reach_rounding = Add (reach, resized)
    reach_rounding_up = Sub (reach_rounding, one)
    taps_by_side = Div (reach_rounding_up, resized)
    taps = ReduceMax <keepdims = 0> (taps_by_side)

    origin_column = Unsqueeze (origin, one)
    target = Add (origin_column, places)
    target_twice = Mul (target, two)
    target_odd = Add (target_twice, one)
    sides_column = Unsqueeze (sides, one)
    center = Mul (target_odd, sides_column)
    lead = Sub (resized, reach)
    lead_column = Unsqueeze (lead, one)
    begin = Add (center, lead_column)
    unit = Mul (resized, two)
    unit_column = Unsqueeze (unit, one)
    unbounded_first = Div (begin, unit_column)
    first = Max (unbounded_first, zero)
    first_cube = Unsqueeze (first, two)
    offsets = Range (zero_scalar, taps, one_scalar)
    pixel = Add (first_cube, offsets)
"""
# A weight is share / total * 2**22. Its float32 estimate is off by at most one, and the remainder shows which way. (The
# remainder fits in 32 bits, as OpenVINO's CPU plugin requires, even where the products do not.)
_WEIGHTS = """
    pixel_twice = Mul (pixel, two)
    pixel_odd = Add (pixel_twice, one)
    position = Mul (pixel_odd, resized_cube)
    center_cube = Unsqueeze (center, two)
    offset = Sub (position, center_cube)
    distance = Abs (offset)
    slope = Sub (reach_cube, distance)
    triangle = Max (slope, zero)
    is_inside = Less (pixel, sides_cube)
    share = Where (is_inside, triangle, zero)
    total = ReduceSum <keepdims = 1> (share, two)

    share_float = Cast <to = 1> (share)
    total_float = Cast <to = 1> (total)
    fraction = Div (share_float, total_float)
    fraction_scaled = Mul (fraction, scale_float)
    fraction_rounded = Round (fraction_scaled)
    estimate = Cast <to = 7> (fraction_rounded)
    exact = Mul (share, scale)
    approximate = Mul (estimate, total)
    rest = Sub (exact, approximate)
    rest_twice = Mul (rest, two)
    minus_total = Neg (total)
    is_too_small = GreaterOrEqual (rest_twice, total)
    is_too_large = Less (rest_twice, minus_total)
    one_more = Cast <to = 7> (is_too_small)
    one_less = Cast <to = 7> (is_too_large)
    raised = Add (estimate, one_more)
    weight = Sub (raised, one_less)

    weight_float = Cast <to = 1> (weight)
    weight_high_part = Mul (weight_float, inverse_half_scale)
    high = Round (weight_high_part)
    low = Sub (weight_high_part, high)
    row_high_flat, column_high_flat = Split <axis = 0, num_outputs = 2> (high)
    row_low_flat, column_low_flat = Split <axis = 0, num_outputs = 2> (low)
    row_high = Reshape (row_high_flat, weight_shape)
    row_low = Reshape (row_low_flat, weight_shape)
    column_high = Reshape (column_high_flat, weight_shape)
    column_low = Reshape (column_low_flat, weight_shape)
"""
# Slice the part of the frame covered by the crop; line numbers in a pass are relative to its corner.
_PICTURE = """
    starts = Gather <axis = 1> (first, zero_scalar)
    last_first = Gather <axis = 1> (first, last_place)
    beyond = Add (last_first, taps)
    ends = Min (beyond, sides)
    picture = Slice (frames, starts, ends, one_and_two)
    last_pixel = Sub (sides_cube, one)
    bounded_pixel = Min (pixel, last_pixel)
    starts_cube = Unsqueeze (starts, one_and_two)
    lines = Sub (bounded_pixel, starts_cube)
    row_lines_cube, column_lines_cube = Split <axis = 0, num_outputs = 2> (lines)
    row_lines = Squeeze (row_lines_cube, zero)
    column_lines = Squeeze (column_lines_cube, zero)
    by_column = Transpose <perm = [0, 2, 3, 1]> (picture)
    by_column_flat = Reshape (by_column, line_shape)
"""
# floor(high + low + 0.5). The weights sum to one within a few 2**-22, so no byte exceeds 255 and no clamp is needed.
_PASS = """
    {axis}_bytes = Gather <axis = 1> (by_{axis}_flat, {axis}_lines)
    {axis}_values = Cast <to = 1> ({axis}_bytes)
    {axis}_high_sum = MatMul ({axis}_high, {axis}_values)
    {axis}_low_sum = MatMul ({axis}_low, {axis}_values)
    {axis}_low_whole = Floor ({axis}_low_sum)
    {axis}_sum = Add ({axis}_high_sum, {axis}_low_whole)
    {axis}_scaled = Mul ({axis}_sum, inverse_half_scale)
    {axis}_shifted = Add ({axis}_scaled, half)
    {axis}_result = Floor ({axis}_shifted)
"""
_BETWEEN = """
    column_result_bytes = Cast <to = 2> (column_result)
    columns = Reshape (column_result_bytes, columns_shape)
    by_row_flat = Transpose <perm = [0, 2, 1]> (columns)
"""
_NORMALIZE = """
    resized_picture = Reshape (row_result, picture_shape)
    planes = Transpose <perm = [0, 3, 1, 2]> (resized_picture)
    view = Unsqueeze (planes, one)
    unit_range = Div (view, full)
    centered = Sub (unit_range, mean)
    pixels = Div (centered, std)
"""


def tsm_preprocess_graph(spec: PreprocessSpec, opset: int) -> onnx.ModelProto:
    """Return a checked graph from ``frames`` to ``pixels``, float32 ``[n, 1, 3, size, size]``.

    The crop is always the center and the channel order always RGB; all other fields of ``spec`` are used.
    """
    size = spec.input_size
    passes = _PASS.format(axis="column") + _BETWEEN + _PASS.format(axis="row")
    nodes = _SIDES + _TAPS + _WEIGHTS + _PICTURE + passes + _NORMALIZE
    return preprocessing_model(nodes, (1, 3, size, size), _constants(spec), opset)


def _constants(spec: PreprocessSpec) -> Constants:
    size = spec.input_size
    return {
        "size": int64_vector(size),
        "side": int64_vector(spec.resize_side),
        "zero": int64_vector(0),
        "one": int64_vector(1),
        "two": int64_vector(2),
        "one_and_two": int64_vector(1, 2),
        "zero_scalar": np.array(0, np.int64),
        "one_scalar": np.array(1, np.int64),
        "last_place": np.array(size - 1, np.int64),
        "places": np.arange(size, dtype=np.int64)[None],
        "scale": int64_vector(2**22),
        "scale_float": float32_vector(2**22),
        "inverse_half_scale": float32_vector(2**-11),
        "half": float32_vector(0.5),
        "weight_shape": int64_vector(size, 1, -1),
        "line_shape": int64_vector(0, 0, -1),
        "columns_shape": int64_vector(0, 3 * size, -1),
        "picture_shape": int64_vector(0, size, size, 3),
        "full": float32_vector(255),
        "mean": per_channel(spec.mean),
        "std": per_channel(spec.std),
    }
