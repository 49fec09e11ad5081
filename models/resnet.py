"""ResNet trunks (He et al. 2016, torchvision's "v1.5" form) of any width and depth, sized from a checkpoint.

FrameExit stores torchvision's ResNet as a ``Sequential`` of all its children but the last: 0 is the stem convolution, 1
the batch norm, 2 the ReLU, 3 the max pool, 4-7 the four stages, and 8 the global average pool. Checkpoints do not
contain strides: children 5, 6 and 7 halve the resolution in their first block, on the 3x3 convolution. The structure
and the parameter names follow torchvision (BSD-3-Clause); see NOTICE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

_KNOWN: dict[tuple[str, tuple[int, ...], tuple[int, ...]], str] = {
    ("bottleneck", (3, 4, 6, 3), (64, 128, 256, 512)): "resnet50",
    ("bottleneck", (3, 4, 23, 3), (64, 128, 256, 512)): "resnet101",
    ("basic", (2, 2, 2, 2), (64, 128, 256, 512)): "resnet18",
}


@dataclass(frozen=True)
class ResNetSize:
    """Parameters in which ResNets differ: kind of block, number of blocks and width of each stage, and stem."""

    block: str
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    stem_width: int
    stem_kernel: int
    expansion: int

    @property
    def name(self) -> str:
        """``resnet18``, ``resnet50`` or ``resnet101`` for these sizes, otherwise a name with all sizes."""
        known = _KNOWN.get((self.block, self.blocks, self.widths))
        return known or f"resnet_{self.block}_" + "_".join(f"{b}x{w}" for b, w in zip(self.blocks, self.widths))

    @property
    def features(self) -> int:
        """Length of the pooled feature vector."""
        return self.widths[-1] * self.expansion


RESNET18 = ResNetSize("basic", (2, 2, 2, 2), (64, 128, 256, 512), stem_width=64, stem_kernel=7, expansion=1)
RESNET50 = ResNetSize("bottleneck", (3, 4, 6, 3), (64, 128, 256, 512), stem_width=64, stem_kernel=7, expansion=4)
RESNET101 = replace(RESNET50, blocks=(3, 4, 23, 3))


class ChildNames(NamedTuple):
    """Names of the stem convolution and the four stages in a checkpoint."""

    stem: str
    stages: tuple[str, str, str, str]


IN_SEQUENCE = ChildNames("0", ("4", "5", "6", "7"))
BY_NAME = ChildNames("conv1", ("layer1", "layer2", "layer3", "layer4"))


def resnet_size(shapes: Mapping[str, torch.Size], prefix: str, names: ChildNames = IN_SEQUENCE) -> ResNetSize:
    """Return the size of the trunk whose parameter names start with ``prefix``.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
    """
    stages = [f"{prefix}{stage}." for stage in names.stages]
    bottleneck = f"{stages[0]}0.conv3.weight" in shapes
    firsts = [shapes[f"{stage}0.conv1.weight"] for stage in stages]
    stem = shapes[f"{prefix}{names.stem}.weight"]
    return ResNetSize(
        block="bottleneck" if bottleneck else "basic",
        blocks=tuple(_count_blocks(shapes, stage) for stage in stages),
        widths=tuple(first[0] for first in firsts),
        stem_width=stem[0],
        stem_kernel=stem[-1],
        expansion=shapes[f"{stages[0]}0.conv3.weight"][0] // firsts[0][0] if bottleneck else 1,
    )


def _count_blocks(shapes: Mapping[str, torch.Size], stage_prefix: str) -> int:
    names = [name.removeprefix(stage_prefix) for name in shapes if name.startswith(stage_prefix)]
    keys = Counter(name.partition(".")[0] for name in names)
    # A single key is an unexpected tensor rather than a block.
    return sum(count > 1 for count in keys.values())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + _apply(self.downsample, x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is on the 3x3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        outputs = width * expansion
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        return torch.relu(self.bn3(self.conv3(out)) + _apply(self.downsample, x))


def resnet_trunk(size: ResNetSize) -> nn.Sequential:
    """Build the trunk: float32 ``[n, 3, h, w]`` to pooled features ``[n, size.features, 1, 1]``."""
    stages: list[nn.Module] = []
    inputs = size.stem_width
    for number, (blocks, width) in enumerate(zip(size.blocks, size.widths)):
        stages.append(_stage(size, inputs, width, blocks, stride=1 if number == 0 else 2))
        inputs = width * size.expansion
    return nn.Sequential(
        conv(3, size.stem_width, size.stem_kernel, stride=2),
        nn.BatchNorm2d(size.stem_width),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        *stages,
        nn.AdaptiveAvgPool2d(1),
    )


def _stage(size: ResNetSize, inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(blocks):
        step = stride if number == 0 else 1
        if size.block == "bottleneck":
            layers.append(Bottleneck(inputs, width, step, size.expansion))
        else:
            layers.append(BasicBlock(inputs, width, step))
        inputs = width * size.expansion
    return nn.Sequential(*layers)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that preserves the height and width at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def _apply(shortcut: nn.Module | None, x: Tensor) -> Tensor:
    return x if shortcut is None else shortcut(x)
