"""Source lines and weights of each crop, computed once per frame size.

The arithmetic is that of the exported graphs (``export/preprocess``), down to the rounding of every operation, because
a coordinate that differs in its last bit changes pixels by up to 1e-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Preprocessing

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_PILLOW = "shorter_side_pillow_bilinear"
_HALF_TO_EVEN = "center_half_to_even"
_MARGIN_SHARES = {_HALF_TO_EVEN: 0.5, "first": 0.0, "center_half_up": 0.5, "last": 1.0}
_FRACTION_BITS = 22  # of Pillow's weights


class BilinearAxis(NamedTuple):
    """For each line of a crop, the two source lines and the weight of the second, in [0, 1)."""

    low: Integers
    high: Integers
    weight: Floats


class FilterAxis(NamedTuple):
    """For each line of a crop, the first source line and the weights of the lines from there, times 2**22."""

    first: Integers
    weights: NDArray[np.int32]


@dataclass(frozen=True)
class Crop:
    """Axes of one crop: rows, then columns."""

    rows: BilinearAxis | FilterAxis
    columns: BilinearAxis | FilterAxis


def crops(spec: Preprocessing, height: int, width: int) -> tuple[Crop, ...]:
    """Return the crops of a frame of ``height`` x ``width`` pixels, in the order in which they are scored."""
    sides = (height, width)
    resized = _resized(spec, height, width)
    return tuple(
        Crop(*(_axis(spec, crop, before, after) for before, after in zip(sides, resized))) for crop in spec.crops
    )


def is_pillow(spec: Preprocessing) -> bool:
    """Return whether frames are resized in Pillow's fixed-point arithmetic rather than as floats."""
    return spec.resize == _PILLOW


def _resized(spec: Preprocessing, height: int, width: int) -> tuple[int, int]:
    side, shorter = spec.resize_side, min(height, width)
    if is_pillow(spec) or _HALF_TO_EVEN in spec.crops:
        return height * side // shorter, width * side // shorter
    if shorter == side:
        return height, width
    # In doubles, as in the original, which truncates some sides to one pixel less than integer arithmetic does.
    return (side, math.floor(width / height * side)) if height <= width else (math.floor(height / width * side), side)


def _axis(spec: Preprocessing, crop: str, before: int, after: int) -> BilinearAxis | FilterAxis:
    margin = (after - spec.input_size) * _MARGIN_SHARES[crop]
    origin = round(margin) if crop == _HALF_TO_EVEN else math.ceil(margin)
    if is_pillow(spec):
        return _filter_axis(before, after, origin, spec.input_size)
    source = _coordinates(before, after, origin, spec.input_size, rounds_once=crop != _HALF_TO_EVEN)
    lower = np.floor(source)
    low = np.minimum(lower.astype(np.int64), before - 1)  # a bound for the kernels, which do not check indices
    return BilinearAxis(low, np.minimum(low + 1, before - 1), source - lower)


def _coordinates(before: int, after: int, origin: int, size: int, *, rounds_once: bool) -> Floats:
    """Return the source coordinates of a crop's lines.

    Args:
        before: number of source lines.
        after: number of lines after resizing.
        origin: position of the crop's first line.
        size: number of lines in the crop.
        rounds_once: whether the product and the difference are rounded together (a fused operation) or one by one.
    """
    ratio = np.float32(before) / np.float32(after)
    target = np.float32(origin) + (np.arange(size, dtype=np.float32) + np.float32(0.5))
    if rounds_once:  # products of floats are exact in doubles
        source: Floats = (target.astype(np.float64) * np.float64(ratio) - 0.5).astype(np.float32)
    else:
        source = target * ratio - np.float32(0.5)
    return source.clip(min=0)


def _filter_axis(before: int, after: int, origin: int, size: int) -> FilterAxis:
    """Return Pillow's weights: a triangle around each center, normalized and rounded (see NOTICE)."""
    scale = before / after
    support = max(scale, 1.0)
    centers = (np.arange(origin, origin + size) + 0.5) * scale
    first = np.maximum(np.trunc(centers - support + 0.5), 0).astype(np.int64)
    last = np.minimum(np.trunc(centers + support + 0.5), before).astype(np.int64)
    taps = np.arange(int((last - first).max()))
    # Like Pillow, count from the first pixel, multiply by the inverse, and sum sequentially.
    distance = (taps + first[:, None] - centers[:, None] + 0.5) * (1.0 / support)
    is_inside = taps < (last - first)[:, None]
    triangle = np.where(is_inside, np.maximum(1.0 - np.abs(distance), 0.0), 0.0)
    normalized = triangle / triangle.cumsum(1)[:, -1:]
    weights = np.floor(normalized * 2**_FRACTION_BITS + 0.5).astype(np.int32)
    return _without_zeros(first, weights, before)


def _without_zeros(first: Integers, weights: NDArray[np.int32], before: int) -> FilterAxis:
    """Drop weights of zero at either end of a line, and keep the taps of every line within ``before`` lines."""
    used = weights != 0
    leading = used.argmax(1)
    count = int((weights.shape[1] - used[:, ::-1].argmax(1) - leading).max())
    start = np.minimum(first + leading, before - count)
    shifted = (start - first)[:, None] + np.arange(count)
    inside = (shifted >= 0) & (shifted < weights.shape[1])
    kept = np.take_along_axis(weights, shifted.clip(0, weights.shape[1] - 1), 1)
    return FilterAxis(start, np.ascontiguousarray(np.where(inside, kept, 0), np.int32))
