"""The inner loops of preprocessing, written for compilation (`jit`): one crop of one frame.

They read each source row that the crop needs, interpolate and normalize it while it is in the cache, and write every
pixel once. Places that are loaded from an array are unsigned, because Numba checks signed ones for negative values, at
a third of the total time. No other index is checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_HALF = 1 << 21  # one half in Pillow's fixed-point arithmetic
_FRACTION_BITS = 22
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)  # a sum of unsigned and signed integers is a float


def write_bilinear_crop(
    frame: Any,
    pixels: Any,
    row_low: Any,
    row_high: Any,
    row_weight: Any,
    span: Any,
    column_low: Any,
    column_high: Any,
    column_weight: Any,
    planes: Any,
    mean: Any,
    inverse_std: Any,
) -> None:
    """Interpolate rows, then columns, as floats in 0..255, and normalize.

    Args:
        frame: bytes ``[height, 3 * width]``.
        pixels: the result, ``[3, size, size]``.
        row_low: first source row of each row of the crop.
        row_high: second source row.
        row_weight: weight of the second source row.
        span: begin and end of the bytes in a source row that the crop needs.
        column_low: position in the span of the first source pixel of each column of the crop.
        column_high: position of the second source pixel.
        column_weight: weight of the second source pixel.
        planes: the plane of each source channel.
        mean: mean per plane.
        inverse_std: inverse of the standard deviation per plane.
    """
    size, begin, end = len(row_low), span[0], span[1]
    row = np.empty(end - begin, np.float32)
    left, right = np.empty((3, size), np.float32), np.empty((3, size), np.float32)
    for y in range(size):
        top, bottom, weight = frame[row_low[y], begin:end], frame[row_high[y], begin:end], row_weight[y]
        rest = np.float32(1) - weight
        for x in range(end - begin):
            row[x] = np.float32(top[x]) * rest + np.float32(bottom[x]) * weight
        for x in range(size):  # separate from the arithmetic, which LLVM vectorizes only without these loads
            low, high = column_low[x], column_high[x]
            left[0, x], left[1, x], left[2, x] = row[low], row[low + _ONE], row[low + _TWO]
            right[0, x], right[1, x], right[2, x] = row[high], row[high + _ONE], row[high + _TWO]
        for channel in range(3):
            plane = planes[channel]
            shift, factor = mean[plane], inverse_std[plane]
            for x in range(size):
                value = left[channel, x]
                value += (right[channel, x] - value) * column_weight[x]
                pixels[plane, y, x] = (value - shift) * factor


def filter_columns(frame: Any, begin: Any, first: Any, weights: Any, filtered: Any) -> None:
    """Filter the columns of a crop in Pillow's fixed-point arithmetic.

    Args:
        frame: bytes ``[height, 3 * width]``.
        begin: first source row that the crop needs.
        first: position in a row of the first source pixel of each column.
        weights: weights of the source pixels from there, ``[size, taps]``.
        filtered: the result, bytes ``[rows, 3 * size]``, one plane after the other.
    """
    size, taps = weights.shape
    for y in range(len(filtered)):
        source, target = frame[begin + y], filtered[y]
        for x in range(size):
            red = green = blue = np.int32(_HALF)
            place = first[x]
            for tap in range(taps):
                weight = weights[x, tap]
                red += weight * np.int32(source[place])
                green += weight * np.int32(source[place + _ONE])
                blue += weight * np.int32(source[place + _TWO])
                place += _THREE
            target[x] = red >> _FRACTION_BITS
            target[size + x] = green >> _FRACTION_BITS
            target[2 * size + x] = blue >> _FRACTION_BITS


def write_filtered_rows(filtered: Any, first: Any, weights: Any, table: Any, pixels: Any) -> None:
    """Filter the rows of a crop after its columns, and normalize the bytes with a table.

    Args:
        filtered: the result of `filter_columns`.
        first: first row in ``filtered`` of each row of the crop.
        weights: weights of the rows from there, ``[size, taps]``.
        table: the normalized value of every byte, ``[3, 256]``.
        pixels: the result, ``[3, size, size]``.
    """
    size, taps = weights.shape
    total = np.empty(3 * size, np.int32)
    for y in range(size):
        total[:] = _HALF
        for tap in range(taps):
            weight, source = weights[y, tap], filtered[first[y] + tap]
            for x in range(3 * size):
                total[x] += weight * np.int32(source[x])
        for plane in range(3):
            for x in range(size):
                pixels[plane, y, x] = table[plane, np.uint64(total[plane * size + x] >> _FRACTION_BITS)]
