"""EfficientNet trunks (Tan & Le 2019) under torchvision's parameter names, sized from a checkpoint.

A trunk extracted from torchvision's model in the same way as FrameExit's ResNet (``Sequential(*children[:-1])``) has
the children 0 (``features``: stem, seven stages, head convolution) and 1 (global average pool). Widths, depths, kernels
and expansions are derived from the checkpoint; the strides and the batch-norm epsilon, which checkpoints do not
contain, are those of B0 to B4. The structure and the parameter names follow torchvision (BSD-3-Clause); see NOTICE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint.read import StateDict
from .backbone import Backbone, BackboneRecognizer

STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_B3 = ((24, 3, 2), (32, 3, 3), (48, 5, 3), (96, 3, 5), (136, 5, 5), (232, 5, 6), (384, 3, 2))


@dataclass(frozen=True)
class StageSize:
    """One stage: output channels, depthwise kernel, number of blocks, and each block's inner and squeeze channels."""

    width: int
    kernel: int
    blocks: int
    inner: tuple[int, ...]
    squeeze: tuple[int, ...]


@dataclass(frozen=True)
class EfficientNetSize:
    """Parameters in which EfficientNets differ."""

    stem_width: int
    stages: tuple[StageSize, ...]
    features: int

    @property
    def name(self) -> str:
        """``efficientnet_b3`` for the size of B3, otherwise ``efficientnet`` plus the stem and feature widths."""
        shape = tuple((stage.width, stage.kernel, stage.blocks) for stage in self.stages)
        return "efficientnet_b3" if shape == _B3 else f"efficientnet_{self.stem_width}_{self.features}"


def efficientnet_size(shapes: Mapping[str, torch.Size], prefix: str) -> EfficientNetSize:
    """Return the size of the trunk whose parameter names start with ``prefix``.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
    """
    stages = tuple(_stage_size(shapes, f"{prefix}0.{number}.") for number in range(1, len(STAGE_STRIDES) + 1))
    head = shapes[f"{prefix}0.{len(STAGE_STRIDES) + 1}.0.weight"]
    return EfficientNetSize(shapes[f"{prefix}0.0.0.weight"][0], stages, head[0])


def _stage_size(shapes: Mapping[str, torch.Size], prefix: str) -> StageSize:
    inner: list[int] = []
    squeeze: list[int] = []
    width = kernel = 0
    while f"{prefix}{len(inner)}.block.0.0.weight" in shapes or not inner:
        block = f"{prefix}{len(inner)}.block."
        expanded = f"{block}3.0.weight" in shapes
        depthwise = shapes[f"{block}{int(expanded)}.0.weight"]
        inner.append(depthwise[0])
        squeeze.append(shapes[f"{block}{1 + expanded}.fc1.weight"][0])
        width = shapes[f"{block}{2 + expanded}.0.weight"][0]
        kernel = depthwise[-1]
    return StageSize(width, kernel, len(inner), tuple(inner), tuple(squeeze))


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate that is computed from the means of all channels."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeeze, 1)
        self.fc2 = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.fc2(functional.silu(self.fc1(mean))))


class InvertedResidual(nn.Module):
    """Expansion (if wider), depthwise convolution, squeeze-excitation, projection; and a shortcut if shapes match."""

    def __init__(self, inputs: int, inner: int, squeeze: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if inner != inputs:
            layers.append(_conv_norm(inputs, inner, 1, activation=True))
        layers += [
            _conv_norm(inner, inner, kernel, stride, groups=inner, activation=True),
            SqueezeExcitation(inner, squeeze),
            _conv_norm(inner, outputs, 1, activation=False),
        ]
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.shortcut else out


def efficientnet_trunk(size: EfficientNetSize) -> nn.Sequential:
    """Build the trunk: float32 ``[n, 3, h, w]`` to pooled features ``[n, size.features, 1, 1]``."""
    layers: list[nn.Module] = [_conv_norm(3, size.stem_width, 3, stride=2, activation=True)]
    inputs = size.stem_width
    for stage, stride in zip(size.stages, STAGE_STRIDES):
        layers.append(_stage(stage, inputs, stride))
        inputs = stage.width
    layers.append(_conv_norm(inputs, size.features, 1, activation=True))
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1))


def _stage(stage: StageSize, inputs: int, stride: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for inner, squeeze in zip(stage.inner, stage.squeeze):
        blocks.append(InvertedResidual(inputs, inner, squeeze, stage.width, stage.kernel, stride))
        inputs, stride = stage.width, 1
    return nn.Sequential(*blocks)


def _conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, activation: bool
) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs)
    return nn.Sequential(conv, norm, nn.SiLU()) if activation else nn.Sequential(conv, norm)


def _backbone(shapes: Mapping[str, torch.Size], prefix: str) -> Backbone:
    size = efficientnet_size(shapes, prefix)
    # The paper counts the cost at 300 pixels and gives one number for all sizes.
    return Backbone(efficientnet_trunk(size), size.features, size.name, 300, paper_gmacs_per_frame=1.8)


def _with_children_names(state: StateDict, prefix: str) -> StateDict:
    """Rename the prefix ``features.`` (torchvision's name) to ``0.`` (the child's index)."""
    alias = f"{prefix}features."
    return {
        f"{prefix}0." + name.removeprefix(alias) if name.startswith(alias) else name: tensor
        for name, tensor in state.items()
    }


BACKBONE = BackboneRecognizer("0.0.0.weight", _backbone, _with_children_names)
