"""TEA (Li et al., CVPR 2020), plain and frame-flexible, under the parameter names of FFN's release.

The authors' ResNet-50 is a Res2Net: 3x3 convolutions process quarters of the channels in sequence, each after a
depthwise convolution over time. Before that, the motion excitation gates each channel by the difference between
neighboring frames. The frame-flexible form has one set of batch norms per branch and no adaptation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint.by_size import SizedRecognizer
from ..resnet import BY_NAME, RESNET50, conv, resnet_size
from .base import add_branches
from .resnet2d import (
    BlockSize,
    FlexibleResNet,
    FlexibleResNetSize,
    Suffixes,
    add_shortcut,
    by_clip,
    is_likely,
    published_sizes,
    shortcut,
    then_zeros,
)

SCALES = 4
_EXPANSION = 4
_REDUCTION = 16


class Tea(FlexibleResNet):
    """TEA; the widths in its ``size`` are the ResNet's bottleneck widths, a quarter of each stage's output channels."""

    architecture = "tea"

    def __init__(self, size: FlexibleResNetSize, input_size: int | None = None) -> None:
        super().__init__(size, _Block, input_size)


def tea_size(shapes: Mapping[str, torch.Size]) -> FlexibleResNetSize:
    """Derive the size from the parameter shapes.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
    """
    trunk = resnet_size(shapes, "base_model.", BY_NAME)
    widths = tuple(shapes[f"base_model.{stage}.0.conv3.weight"][0] // _EXPANSION for stage in BY_NAME.stages)
    flexible = any(".bn1_4." in name for name in shapes)
    return FlexibleResNetSize(replace(trunk, widths=widths, expansion=_EXPANSION), shapes["new_fc.weight"][0], flexible)


class _TemporalConv(nn.Module):
    """Depthwise convolution over time, kernel 3, zero-padded: ``[n * frames, c, h, w]`` to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        # Make time the height of an image, so that the transpose moves whole planes instead of pixels.
        clips = x.reshape(-1, frames, x.shape[1], x.shape[2] * x.shape[3]).transpose(1, 2)
        weight = self.conv.weight.unsqueeze(3)
        out = functional.conv2d(clips, weight, padding=(1, 0), groups=self.conv.groups)
        return out.transpose(1, 2).reshape(-1, *x.shape[1:])


class _MotionExcitation(nn.Module):
    """Scales each channel according to how it changes from one frame to the next."""

    bn1: nn.Module
    bn3: nn.Module

    def __init__(self, channels: int, suffixes: Suffixes) -> None:
        super().__init__()
        squeezed = max(1, channels // _REDUCTION)
        self.conv1 = conv(channels, squeezed, 1)
        add_branches(self, "bn1", suffixes, partial(nn.BatchNorm2d, squeezed))
        self.conv2 = nn.Conv2d(squeezed, squeezed, 3, padding=1, groups=squeezed, bias=False)
        self.conv3 = conv(squeezed, channels, 1)
        add_branches(self, "bn3", suffixes, partial(nn.BatchNorm2d, channels))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        here = self.bn1(self.conv1(x))
        # The original averages over pixels after the difference; averaging first is equivalent and cheaper.
        now, moved = (by_clip(functional.adaptive_avg_pool2d(y, 1), frames) for y in (here, self.conv2(here)))
        motion = then_zeros(moved[:, 1:] - now[:, :-1])
        gate = torch.sigmoid(self.bn3(self.conv3(motion.flatten(0, 1)))) - 0.5
        return x + x * gate


class _Block(nn.Module):
    """One residual block; inference runs a view of one branch.

    In the first block of a stage, the quarters are processed independently, and the last quarter is average-pooled. In
    all other blocks, each quarter has the result of the previous one added to it, and the last quarter passes through
    unchanged.
    """

    bn1: nn.Module
    bns: nn.ModuleList
    bn3: nn.Module

    def __init__(self, size: BlockSize, suffixes: Suffixes) -> None:
        super().__init__()
        width = size.width * 26 // 64
        self.me = _MotionExcitation(SCALES * width, suffixes)
        self.conv1 = conv(size.inputs, SCALES * width, 1)
        add_branches(self, "bn1", suffixes, partial(nn.BatchNorm2d, SCALES * width))
        self.convs = nn.ModuleList(conv(width, width, 3, size.stride) for _ in range(SCALES - 1))
        add_branches(self, "bns", suffixes, partial(_norms, width))
        self.shifts = nn.ModuleList(_TemporalConv(width) for _ in range(SCALES))
        self.conv3 = conv(SCALES * width, size.outputs, 1)
        add_branches(self, "bn3", suffixes, partial(nn.BatchNorm2d, size.outputs))
        self.pool = nn.AvgPool2d(3, size.stride, padding=1) if size.first else nn.Identity()
        self.first = size.first
        add_shortcut(self, size, suffixes)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        out = self.me(torch.relu(self.bn1(self.conv1(x))), frames)
        out = torch.cat(self._scales(out.chunk(SCALES, dim=1), frames), dim=1)
        return torch.relu(self.bn3(self.conv3(out)) + shortcut(self, x))

    def _scales(self, quarters: tuple[Tensor, ...], frames: int) -> list[Tensor]:
        done: list[Tensor] = []
        for quarter, shift, layer, norm in zip(quarters, self.shifts, self.convs, self.bns):
            x = quarter if self.first or not done else done[-1] + quarter
            done.append(torch.relu(norm(layer(shift(x, frames)))))
        return [*done, self.pool(self.shifts[-1](quarters[-1], frames))]


def _norms(width: int) -> nn.ModuleList:
    return nn.ModuleList(nn.BatchNorm2d(width) for _ in range(SCALES - 1))


RECOGNIZER = SizedRecognizer(
    title="TEA",
    is_likely=partial(is_likely, motion_excitation=True),
    size=tea_size,
    published=partial(published_sizes, trunks=(RESNET50,)),
    build=Tea,
)
