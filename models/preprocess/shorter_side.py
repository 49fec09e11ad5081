"""Preprocessing for FrameExit, as in the original, on the float tensor rather than on the 8-bit image.

Divide by 255, resize the shorter side to the network's size (bilinear, half-pixel centers, no antialiasing, longer side
truncated to an integer), crop the center (rounded half to even), and normalize with ImageNet's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import part

ChannelOrder = Literal["rgb", "bgr"]
Resize = Literal["shorter_side_bilinear_truncated", "shorter_side_pillow_bilinear"]
Crop = Literal["center_half_to_even", "first", "center_half_up", "last"]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PreprocessSpec:
    """Description of a network's preprocessing for the manifest.

    Attributes:
        input_size: height and width of the pixels.
        resize_side: length of a frame's shorter side after resizing.
        resize: bilinear resizing of floats, with half-pixel centers and without antialiasing, or Pillow's method on
            bytes. Both truncate the length of the longer side to an integer.
        crops: positions, along the longer side, of the square crops that are scored.
        channel_order: channel order of the pixels; frames are RGB.
        mean: mean per channel, for values in [0, 1].
        std: standard deviation per channel, for values in [0, 1].
    """

    input_size: int
    resize_side: int
    resize: Resize
    crops: tuple[Crop, ...]
    channel_order: ChannelOrder
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Preprocess(nn.Module):
    """uint8 RGB ``[n, height, width, 3]`` of any size to float32 ``[n, 3, size, size]``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2).to(torch.float32) / 255
        height, width = x.shape[-2:]
        new_height, new_width = resized_shape(height, width, self.size)
        if (new_height, new_width) != (height, width):
            x = functional.interpolate(x, (new_height, new_width), mode="bilinear", align_corners=False)
        top, left = (round((side - self.size) / 2.0) for side in (new_height, new_width))
        x = x[..., top : top + self.size, left : left + self.size]
        mean, std = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (MEAN, STD))
        return (x - mean) / std


class Views(nn.Module):
    """Produces all crops of a frame: uint8 RGB ``[n, height, width, 3]`` to float32 ``[n, crops, 3, size, size]``."""

    def __init__(self, crops: Iterable[nn.Module]) -> None:
        super().__init__()
        self.crops = nn.ModuleList(crops)

    def forward(self, frames: Tensor) -> Tensor:
        return torch.stack([crop(frames) for crop in self.crops], 1)


def views_part(crops: Iterable[nn.Module], size: int) -> part.Part:
    """Return the part ``preprocess``, which applies each of ``crops`` to decoded frames."""
    views = Views(crops)
    frames = part.PartTensor("frames", "uint8", ("n", "height", "width", 3))
    pixels = part.PartTensor("pixels", "float32", ("n", len(views.crops), 3, size, size))
    return part.Part("preprocess", views, (frames,), pixels)


def resized_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width after resizing the shorter side to ``size``, with the longer one truncated."""
    shorter = min(height, width)
    return size * height // shorter, size * width // shorter
