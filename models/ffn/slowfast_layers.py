"""Layers of SlowFast, under the authors' names. Clips are ``[n, channels, t, h, w]``; convolutions have no bias.

A batch norm is named after its convolution: ``a_bn`` follows ``a``, ``bn`` follows ``conv`` or ``conv_f2s``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .base import add_adaptation, add_branches

_EXPANSION = 4
_FUSION_KERNEL = 7
_FUSION_STRIDE = 4


class Stem(nn.Module):
    """Convolution, batch norm, ReLU and max pooling; convolution and pooling each halve the height and the width."""

    bn: nn.Module

    def __init__(self, width: int, kernel: int, suffixes: Sequence[str]) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (kernel, 7, 7), (1, 2, 2), (kernel // 2, 3, 3), bias=False)
        add_branches(self, "bn", suffixes, partial(nn.BatchNorm3d, width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool3d(torch.relu(self.bn(self.conv(x))), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Stems(nn.Module):
    """The stems of both pathways."""

    def __init__(self, slow: int, fast: int, suffixes: Sequence[str]) -> None:
        super().__init__()
        self.pathway0_stem = Stem(slow, 1, suffixes)
        self.pathway1_stem = Stem(fast, 5, suffixes)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        return self.pathway0_stem(slow), self.pathway1_stem(fast)


class Fuse(nn.Module):
    """Concatenates the slow pathway's channels with the fast pathway's, subsampled to the same number of frames."""

    bn: nn.Module

    def __init__(self, fast: int, ratio: int, suffixes: Sequence[str]) -> None:
        super().__init__()
        kernel, stride = (_FUSION_KERNEL, 1, 1), (_FUSION_STRIDE, 1, 1)
        self.conv_f2s = nn.Conv3d(fast, ratio * fast, kernel, stride, (_FUSION_KERNEL // 2, 0, 0), bias=False)
        add_branches(self, "bn", suffixes, partial(nn.BatchNorm3d, ratio * fast))

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        return torch.cat([slow, torch.relu(self.bn(self.conv_f2s(fast)))], dim=1)


class Branch2(nn.Module):
    """The residual branch: adaptation, then convolutions over time, space and channels."""

    adaconv: nn.Module
    a_bn: nn.Module
    b_bn: nn.Module
    c_bn: nn.Module
    preceding_affine: ClassVar[dict[str, str]] = {"a": "adaconv"}

    def __init__(self, inputs: int, inner: int, kernel: int, stride: int, suffixes: Sequence[str]) -> None:
        super().__init__()
        outputs = _EXPANSION * inner
        add_adaptation(self, suffixes, inputs)
        self.a = nn.Conv3d(inputs, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)
        self.b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.c = nn.Conv3d(inner, outputs, 1, bias=False)
        for name, width in (("a_bn", inner), ("b_bn", inner), ("c_bn", outputs)):
            add_branches(self, name, suffixes, partial(nn.BatchNorm3d, width))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a_bn(self.a(self.adaconv(x))))
        x = torch.relu(self.b_bn(self.b(x)))
        out: Tensor = self.c_bn(self.c(x))
        return out


class Residual(nn.Module):
    """Shortcut plus residual branch; the first block of a stage projects its shortcut, without adaptation."""

    branch1_bn: nn.Module

    def __init__(
        self, inputs: int, inner: int, kernel: int, stride: int, suffixes: Sequence[str], *, first: bool
    ) -> None:
        super().__init__()
        self.branch1: nn.Module = nn.Identity()
        if first:
            outputs = _EXPANSION * inner
            self.branch1 = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
            add_branches(self, "branch1_bn", suffixes, partial(nn.BatchNorm3d, outputs))
        else:
            self.branch1_bn = nn.Identity()
        self.branch2 = Branch2(inputs, inner, kernel, stride, suffixes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch1_bn(self.branch1(x)) + self.branch2(x))


class Stage(nn.Module):
    """Residual blocks of both pathways, named ``pathway0_res0`` and so on; pairs of sizes are (slow, fast)."""

    def __init__(
        self,
        inputs: tuple[int, int],
        inner: tuple[int, int],
        kernels: tuple[int, int],
        blocks: int,
        stride: int,
        suffixes: Sequence[str],
    ) -> None:
        super().__init__()
        self.outputs = (_EXPANSION * inner[0], _EXPANSION * inner[1])
        self.blocks = blocks
        for pathway in (0, 1):
            for block in range(blocks):
                first = block == 0
                width = inputs[pathway] if first else self.outputs[pathway]
                residual = Residual(
                    width, inner[pathway], kernels[pathway], stride if first else 1, suffixes, first=first
                )
                self.add_module(f"pathway{pathway}_res{block}", residual)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        return self._pathway(0, slow), self._pathway(1, fast)

    def _pathway(self, number: int, x: Tensor) -> Tensor:
        for block in range(self.blocks):
            x = self.get_submodule(f"pathway{number}_res{block}")(x)
        return x
