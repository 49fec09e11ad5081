"""FrameExit's preprocessing of one frame, as the original does it (on the float tensor, not on the 8-bit picture).

Divide by 255, resize the shorter side to the network's size (bilinear, half-pixel centres, no antialiasing, the longer
side truncated to an integer), crop the centre (halves rounded to even), normalise with ImageNet's mean and deviation.
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
    """What a network's preprocessing does, in words for a manifest.

    Attributes:
        input_size: height and width of the pixels.
        resize_side: what the shorter side of a frame is resized to.
        resize: on floats, with half-pixel centres and without antialiasing, or as Pillow does it with bytes. Both cut
            the longer side down to an integer.
        crops: the squares a video is scored on, by their place along the longer side.
        channel_order: of the pixels; frames are RGB.
        mean: per channel of the pixels, for values in [0, 1].
        std: likewise.
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
    """Every crop of a frame: uint8 RGB ``[n, height, width, 3]`` to float32 ``[n, crops, 3, size, size]``."""

    def __init__(self, crops: Iterable[nn.Module]) -> None:
        super().__init__()
        self.crops = nn.ModuleList(crops)

    def forward(self, frames: Tensor) -> Tensor:
        return torch.stack([crop(frames) for crop in self.crops], 1)


def views_part(crops: Iterable[nn.Module], size: int) -> part.Part:
    """Return the part ``preprocess`` that gives what each of ``crops`` makes of frames as they were decoded."""
    views = Views(crops)
    frames = part.PartTensor("frames", "uint8", ("n", "height", "width", 3))
    pixels = part.PartTensor("pixels", "float32", ("n", len(views.crops), 3, size, size))
    return part.Part("preprocess", views, (frames,), pixels)


def resized_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width after the shorter side was brought to ``size``, the longer one truncated."""
    shorter = min(height, width)
    return size * height // shorter, size * width // shorter
