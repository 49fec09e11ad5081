"""Layers of X3D (Feichtenhofer, CVPR 2020) under the parameter names of facebookresearch/SlowFast (Apache-2.0).

All tensors are ``[n, channels, t, h, w]``. Time is never strided: a clip keeps all its frames up to the pool in the
head. See NOTICE for the license of the original.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES = (2, 3, 4, 5)
BLOCKS = (3, 5, 11, 7)  # number of blocks in X3D-XS, -S and -M, which have the same parameters
INPUT_SIZE = 160  # training crop of X3D-S and -XS
LARGE_INPUT_SIZE = 224  # training crop of X3D-M
_STRIDE = 32


@dataclass(frozen=True)
class TrunkSize:
    """Channels of an X3D trunk.

    Attributes:
        stem: channels after the stem.
        widths: channels after each stage.
        inner: channels inside the blocks of each stage.
        squeezed: channels between the two convolutions of a squeeze-and-excitation in each stage.
        pooled: channels in the head before its pool.
        features: channels in the head after its pool.
        shortcut_norm: whether the first shortcut has a batch norm, as in SlowFast's files but not in PyTorchVideo's.
    """

    stem: int
    widths: tuple[int, ...]
    inner: tuple[int, ...]
    squeezed: tuple[int, ...]
    pooled: int
    features: int
    shortcut_norm: bool


def trunk_size(shapes: Mapping[str, torch.Size], prefix: str = "") -> TrunkSize:
    """Return the size of the trunk whose parameters have SlowFast's names after ``prefix``.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
        IndexError: a weight is a scalar.
    """
    first = [f"{prefix}s{stage}.pathway0_res0." for stage in STAGES]
    return TrunkSize(
        stem=shapes[f"{prefix}s1.pathway0_stem.conv_xy.weight"][0],
        widths=tuple(shapes[f"{block}branch2.c.weight"][0] for block in first),
        inner=tuple(shapes[f"{block}branch2.a.weight"][0] for block in first),
        squeezed=tuple(shapes[f"{block}branch2.se.fc1.weight"][0] for block in first),
        pooled=shapes[f"{prefix}head.conv_5.weight"][0],
        features=shapes[f"{prefix}head.lin_5.weight"][0],
        shortcut_norm=f"{first[0]}branch1_bn.weight" in shapes,
    )


def block_counts(names: Collection[str], prefix: str = "") -> tuple[int, ...]:
    """Return the number of blocks in each stage that have a parameter whose name starts with ``prefix``."""
    block = re.compile(rf"{re.escape(prefix)}s(\d+)\.pathway0_res(\d+)\.")
    blocks = {match.groups() for match in map(block.match, names) if match}
    return tuple(sum(int(stage) == each for stage, _ in blocks) for each in STAGES)


def trunk_layers(size: TrunkSize) -> dict[str, nn.Module]:
    """Return the stem, the stages and the head without its classifier, by name and with random values."""
    layers: dict[str, nn.Module] = {"s1": nn.ModuleDict({"pathway0_stem": _Stem(size.stem)})}
    width = size.stem
    for stage, blocks, out, inner, squeezed in zip(STAGES, BLOCKS, size.widths, size.inner, size.squeezed):
        stage_layers = layers[f"s{stage}"] = nn.Module()
        for place in range(blocks):
            # The first shortcut in the trunk is the only one whose norm depends on the file.
            norm = place == 0 and (stage != STAGES[0] or size.shortcut_norm)
            block = _Block(width, out, _Inner(inner, squeezed), place, shortcut_norm=norm)
            stage_layers.add_module(f"pathway0_res{place}", block)
            width = out
    layers["head"] = nn.ModuleDict(
        {
            "conv_5": _convolution(width, size.pooled, 1),
            "conv_5_bn": nn.BatchNorm3d(size.pooled),
            "lin_5": _convolution(size.pooled, size.features, 1),
        }
    )
    return layers


def pooling_window(input_size: int) -> int:
    """Return the window of the head's pool: the size of the map in training, regardless of the test size."""
    trained = LARGE_INPUT_SIZE if input_size >= LARGE_INPUT_SIZE else INPUT_SIZE
    return math.ceil(min(trained, input_size) / _STRIDE)


class Trunk(nn.Module):
    """X3D without its classifier: ``[n, frames, 3, h, w]`` to features ``[n, features, 1, y, x]`` after a ReLU.

    The head averages over all frames and over windows as large as its map in training, so a larger input leaves several
    positions ``y`` and ``x``.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, pixels: Tensor) -> Tensor:
        window = pooling_window(pixels.shape[-1])
        x: Tensor = self.get_submodule("s1.pathway0_stem")(pixels.transpose(1, 2))
        for stage in STAGES:
            for block in self.get_submodule(f"s{stage}").children():
                x = block(x)
        head = self.get_submodule
        x = torch.relu(head("head.conv_5_bn")(head("head.conv_5")(x)))
        return torch.relu(head("head.lin_5")(functional.avg_pool3d(x, (x.shape[2], window, window), stride=1)))


class _Stem(nn.Module):
    """A spatial convolution, followed directly by a temporal one per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_xy = nn.Conv3d(3, width, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv = nn.Conv3d(width, width, (5, 1, 1), padding=(2, 0, 0), groups=width, bias=False)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(self.conv_xy(x))))


@dataclass(frozen=True)
class _Inner:
    """Number of channels inside a block, and between the convolutions of its squeeze-and-excitation."""

    width: int
    squeezed: int


class _Block(nn.Module):
    """Residual block; the block at ``place`` 0 halves the map, and its shortcut is a convolution."""

    def __init__(self, width: int, out: int, inner: _Inner, place: int, *, shortcut_norm: bool) -> None:
        super().__init__()
        stride = (1, 2, 2) if place == 0 else (1, 1, 1)
        self.branch1 = _convolution(width, out, stride) if place == 0 else None
        self.branch1_bn = nn.BatchNorm3d(out) if shortcut_norm else None
        # Every other block, starting with the first, has a squeeze-and-excitation.
        self.branch2 = _Branch(width, out, inner, stride, squeezes=place % 2 == 0)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.branch1 is None else self.branch1(x)
        if self.branch1_bn is not None:
            shortcut = self.branch1_bn(shortcut)
        return torch.relu(shortcut + self.branch2(x))


class _Branch(nn.Module):
    """Expand, convolve each channel over 3x3x3, excite, project."""

    def __init__(self, width: int, out: int, inner: _Inner, stride: tuple[int, int, int], *, squeezes: bool) -> None:
        super().__init__()
        self.a = _convolution(width, inner.width, 1)
        self.a_bn = nn.BatchNorm3d(inner.width)
        self.b = nn.Conv3d(inner.width, inner.width, 3, stride, 1, groups=inner.width, bias=False)
        self.b_bn = nn.BatchNorm3d(inner.width)
        self.se = _SqueezeExcitation(inner) if squeezes else None
        self.c = _convolution(inner.width, out, 1)
        self.c_bn = nn.BatchNorm3d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a_bn(self.a(x)))
        x = self.b_bn(self.b(x))
        if self.se is not None:
            x = self.se(x)
        out: Tensor = self.c_bn(self.c(functional.silu(x)))
        return out


class _SqueezeExcitation(nn.Module):
    def __init__(self, inner: _Inner) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(inner.width, inner.squeezed, 1)
        self.fc2 = nn.Conv3d(inner.squeezed, inner.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Average rows first: OpenVINO sums the values of a mean sequentially, which costs four digits of precision on a
        # large map.
        rows = functional.avg_pool3d(x, (1, 1, x.shape[-1]))
        mean = rows.mean(dim=(2, 3, 4), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


def _convolution(width: int, out: int, stride: int | tuple[int, int, int]) -> nn.Conv3d:
    return nn.Conv3d(width, out, 1, stride, bias=False)
