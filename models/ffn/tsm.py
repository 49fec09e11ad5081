"""TSM (Lin et al., ICCV 2019) on ResNets, plain and frame-flexible, under the parameter names of FFN's release.

At the start of each residual branch, an eighth of the channels comes from the next frame and an eighth from the
previous one. The frame-flexible form then scales each channel (the adaptation) and has separate batch norms for each
branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..checkpoint.by_size import SizedRecognizer
from ..resnet import BY_NAME, RESNET18, RESNET50, RESNET101, conv, resnet_size
from .base import add_adaptation, add_branches
from .resnet2d import (
    BlockSize,
    FlexibleResNet,
    FlexibleResNetSize,
    Suffixes,
    add_shortcut,
    by_clip,
    from_next,
    from_previous,
    is_likely,
    published_sizes,
    shortcut,
)

SHIFT_DIVISOR = 8


class Tsm(FlexibleResNet):
    """TSM on ResNet-18, ResNet-50, ResNet-101, or a ResNet of any other size with the same kinds of blocks."""

    architecture = "tsm"

    def __init__(self, size: FlexibleResNetSize, input_size: int | None = None) -> None:
        block = _Bottleneck if size.trunk.block == "bottleneck" else _BasicBlock
        super().__init__(size, block, input_size)


def tsm_size(shapes: Mapping[str, torch.Size]) -> FlexibleResNetSize:
    """Derive the size from the parameter shapes.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
    """
    trunk = resnet_size(shapes, "base_model.", BY_NAME)
    return FlexibleResNetSize(trunk, shapes["new_fc.weight"][0], flexible=any(".bn1_4." in name for name in shapes))


def shift(x: Tensor, frames: int) -> Tensor:
    """Return ``[n * frames, c, h, w]`` with the first eighth of the channels taken from the next frame.

    The second eighth is taken from the previous frame; frames beyond the ends of a clip are zeros.
    """
    clips = by_clip(x, frames)
    fold = x.shape[1] // SHIFT_DIVISOR
    later, earlier, same = torch.tensor_split(clips, (fold, 2 * fold), dim=2)
    return torch.cat([from_next(later), from_previous(earlier), same], dim=2).flatten(0, 1)


class _Block(nn.Module):
    """Layers shared by basic and bottleneck blocks; ``forward`` works only in a view of one branch."""

    preceding_affine: ClassVar[dict[str, str]] = {"conv1": "adaconv"}
    adaconv: nn.Module
    bn1: nn.Module
    bn2: nn.Module

    def _add_rest(self, size: BlockSize, suffixes: Suffixes) -> None:
        add_shortcut(self, size, suffixes)
        add_adaptation(self, suffixes, size.inputs, axes=2)

    def _adapted(self, x: Tensor, frames: int) -> Tensor:
        out: Tensor = self.adaconv(shift(x, frames))
        return out


class _BasicBlock(_Block):
    def __init__(self, size: BlockSize, suffixes: Suffixes) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, size.width)
        self.conv1 = conv(size.inputs, size.width, 3, size.stride)
        add_branches(self, "bn1", suffixes, norm)
        self.conv2 = conv(size.width, size.width, 3)
        add_branches(self, "bn2", suffixes, norm)
        self._add_rest(size, suffixes)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(self._adapted(x, frames))))
        return torch.relu(self.bn2(self.conv2(out)) + shortcut(self, x))


class _Bottleneck(_Block):
    bn3: nn.Module

    def __init__(self, size: BlockSize, suffixes: Suffixes) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, size.width)
        self.conv1 = conv(size.inputs, size.width, 1)
        add_branches(self, "bn1", suffixes, norm)
        self.conv2 = conv(size.width, size.width, 3, size.stride)
        add_branches(self, "bn2", suffixes, norm)
        self.conv3 = conv(size.width, size.outputs, 1)
        add_branches(self, "bn3", suffixes, partial(nn.BatchNorm2d, size.outputs))
        self._add_rest(size, suffixes)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(self._adapted(x, frames))))
        out = torch.relu(self.bn2(self.conv2(out)))
        return torch.relu(self.bn3(self.conv3(out)) + shortcut(self, x))


RECOGNIZER = SizedRecognizer(
    title="TSM",
    is_likely=partial(is_likely, motion_excitation=False),
    size=tsm_size,
    published=partial(published_sizes, trunks=(RESNET50, RESNET18, RESNET101)),
    build=Tsm,
    lookalikes=(("base_model.", "a TSM, TEA or Frame Flexible Network checkpoint with whole stages missing"),),
)
