"""Preprocessing for TSM and TEA, as in the original, with Pillow's resize on the 8-bit image.

Resize the shorter side to 256 (Pillow's bilinear filter, which antialiases when it shrinks; longer side truncated; an
image that already has that size is unchanged), crop the central 224 x 224 pixels (rounded half to even), divide by 255,
and normalize with ImageNet's mean and deviation. Pillow computes in fixed point and rounds to 8 bits after the columns
and again after the rows. This module reproduces that arithmetic exactly, so that it can be tested without Pillow and
exported as a graph. The algorithm is Pillow's, which is licensed under MIT-CMU (formerly HPND); see NOTICE.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .shorter_side import MEAN, STD, PreprocessSpec, resized_shape

RESIZE = 256
CROP = 224
_FRACTION_BITS = 22


class PreprocessTsm(nn.Module):
    """uint8 RGB ``[n, height, width, 3]`` of any size to float32 ``[n, 3, size, size]``."""

    def __init__(self, size: int = CROP) -> None:
        super().__init__()
        self.size = size

    def forward(self, frames: Tensor) -> Tensor:
        picture = resize(frames.permute(0, 3, 1, 2), resize_side(self.size))
        top, left = (round((side - self.size) / 2.0) for side in picture.shape[-2:])
        x = picture[..., top : top + self.size, left : left + self.size].to(torch.float32) / 255
        mean, std = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (MEAN, STD))
        return (x - mean) / std


def resize_side(size: int) -> int:
    """Return the length of the shorter side after resizing, for a network input of ``size`` pixels: 256 for 224."""
    return size * RESIZE // CROP


def preprocess_spec(size: int) -> PreprocessSpec:
    """Return the description of this preprocessing for a network input of ``size`` pixels."""
    return PreprocessSpec(
        input_size=size,
        resize_side=resize_side(size),
        resize="shorter_side_pillow_bilinear",
        crops=("center_half_to_even",),
        channel_order="rgb",
        mean=MEAN,
        std=STD,
    )


def resize(pictures: Tensor, side: int) -> Tensor:
    """Return uint8 ``[..., height, width]`` with the shorter side resized to ``side`` and the other in proportion."""
    height, width = pictures.shape[-2:]
    if min(height, width) == side:
        return pictures
    new_height, new_width = resized_shape(height, width, side)
    return _resize_rows(_resize_rows(pictures, new_width).transpose(-1, -2), new_height).transpose(-1, -2)


def _resize_rows(pictures: Tensor, length: int) -> Tensor:
    # A sum of 22-bit weights times 8-bit pixels is exact in float64.
    weights = resize_weights(pictures.shape[-1], length).to(pictures.device)
    total = pictures.to(torch.float64) @ weights.T
    return torch.floor(total / 2**_FRACTION_BITS + 0.5).clamp(0, 255).to(torch.uint8)


def resize_weights(before: int, after: int) -> Tensor:
    """Return Pillow's bilinear weights times 2**22, as integers in float64 ``[after, before]``.

    Each row is a triangle around the center of an output pixel, normalized to a sum of one and rounded. Its half-width
    is the larger of the output and source pixel pitches.
    """
    scale = before / after
    support = max(scale, 1.0)
    centers = (torch.arange(after, dtype=torch.float64)[:, None] + 0.5) * scale
    first = torch.trunc(centers - support + 0.5).clamp(min=0)
    last = torch.trunc(centers + support + 0.5).clamp(max=before)
    pixels = torch.arange(before, dtype=torch.float64)[None]
    # Like Pillow, count from the first pixel, multiply by the inverse, and sum sequentially.
    distance = ((pixels - first) + first - centers + 0.5) * (1.0 / support)
    inside = (pixels >= first) & (pixels < last)
    triangle = torch.where(inside, (1.0 - distance.abs()).clamp(min=0), 0.0)
    normalized = triangle / triangle.cumsum(1)[:, -1:]
    return torch.floor(normalized * 2**_FRACTION_BITS + 0.5)
