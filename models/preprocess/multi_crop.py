"""Preprocessing for FFN's SlowFast and Uniformer, as in their test loader; the reference for the exported graph.

Divide by 255, normalize (one mean and deviation for all channels), resize the shorter side to the network's size in
float32 (bilinear, half-pixel centers, no antialiasing, longer side truncated), and crop a square at the start, center
or end of the longer side. SlowFast uses a single crop, at the start rather than the center; Uniformer uses all three,
sums their logits, and reads BGR. For X3D, the resized side may be longer than the crop's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from ..part import Part
from .shorter_side import ChannelOrder, Crop, PreprocessSpec, views_part

MEAN = 0.45
STD = 0.225
CROP_POSITIONS: tuple[Crop, ...] = ("first", "center_half_up", "last")


@dataclass(frozen=True)
class CropRules:
    """Size, crops and channel order of a network's pixels.

    Attributes:
        size: height and width of a crop.
        crops: positions along the longer side: 0 is its start (left or top), 1 its center, 2 its end.
        order: order of the channels.
        side: length of the shorter side after resizing; None means ``size``.
    """

    size: int
    crops: tuple[int, ...]
    order: ChannelOrder
    side: int | None = None

    @property
    def spec(self) -> PreprocessSpec:
        """The description for a manifest."""
        return PreprocessSpec(
            input_size=self.size,
            resize_side=self.side or self.size,
            resize="shorter_side_bilinear_truncated",
            crops=tuple(CROP_POSITIONS[crop] for crop in self.crops),
            channel_order=self.order,
            mean=(MEAN,) * 3,
            std=(STD,) * 3,
        )

    @property
    def part(self) -> Part:
        """The part that converts decoded frames into a network's pixels, including all crops."""
        return views_part((Preprocess3d(self.size, crop, self.order, self.side) for crop in self.crops), self.size)


SLOWFAST = CropRules(256, (0,), "rgb")
UNIFORMER = CropRules(224, (0, 1, 2), "bgr")


class Preprocess3d(nn.Module):
    """One crop: uint8 RGB ``[n, height, width, 3]`` of any size to normalized float32 ``[n, 3, size, size]``."""

    def __init__(self, size: int, crop: int, order: ChannelOrder, side: int | None = None) -> None:
        super().__init__()
        self.size = size
        self.side = side or size
        self.crop = crop
        self.order = order

    def forward(self, frames: Tensor) -> Tensor:
        ordered = frames if self.order == "rgb" else frames.flip(-1)
        # Channels first, as in the original: torch selects its kernel by the second axis, and kernels round
        # differently.
        x = (ordered.permute(3, 0, 1, 2).float() / 255 - MEAN) / STD
        size = resized_shape_float64(x.shape[2], x.shape[3], self.side)
        if size != x.shape[2:]:
            x = functional.interpolate(x, size, mode="bilinear", align_corners=False)
        top, left = crop_corner(*size, self.size, self.crop)
        return x[..., top : top + self.size, left : left + self.size].transpose(0, 1)


def crops(frames: Tensor, rules: CropRules) -> tuple[Tensor, ...]:
    """Return the crops of uint8 RGB ``[T, H, W, 3]`` that are scored, each float32 ``[T, 3, size, size]``."""
    return tuple(Preprocess3d(rules.size, crop, rules.order, rules.side)(frames) for crop in rules.crops)


def resized_shape_float64(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width after resizing the shorter side to ``size``; unchanged if it already has that size.

    The quotient and the product are doubles, as in the original; with integer arithmetic, some sizes would be larger by
    one.
    """
    if min(height, width) == size:
        return height, width
    if width < height:
        return math.floor(height / width * size), size
    return size, math.floor(width / height * size)


def crop_corner(height: int, width: int, size: int, crop: int) -> tuple[int, int]:
    """Return the top and left coordinates of a crop at the start, center (rounded up) or end of the longer side."""
    top, left = (math.ceil((side - size) / 2) for side in (height, width))
    if crop == 1:
        return top, left
    if height > width:
        return (0 if crop == 0 else height - size), left
    return top, (0 if crop == 0 else width - size)
