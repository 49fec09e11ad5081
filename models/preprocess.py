"""FrameExit's preprocessing of one frame, as the original does it (on the float tensor, not on the 8-bit picture).

Divide by 255, resize the shorter side to the network's size (bilinear, half-pixel centres, no antialiasing, the longer
side truncated to an integer), crop the centre (halves rounded to even), normalise with ImageNet's mean and deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Preprocess(nn.Module):
    """uint8 RGB ``[n, height, width, 3]`` of any size to float32 ``[n, 3, size, size]``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2).to(torch.float32) / 255
        height, width = x.shape[-2:]
        new_height, new_width = resized(height, width, self.size)
        if (new_height, new_width) != (height, width):
            x = functional.interpolate(x, (new_height, new_width), mode="bilinear", align_corners=False)
        top, left = (round((side - self.size) / 2.0) for side in (new_height, new_width))
        x = x[..., top : top + self.size, left : left + self.size]
        mean, std = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (MEAN, STD))
        return (x - mean) / std


def resized(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width after the shorter side was brought to ``size``, the longer one truncated."""
    shorter = min(height, width)
    return size * height // shorter, size * width // shorter
