"""Layers of Uniformer, under the authors' names. Clips are ``[n, channels, t, h, w]``.

Batch norms precede the layer into which they can be folded (``preceding_affine``); all other norms are layer norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .base import add_adaptation, add_branches

HEAD_WIDTH = 64
_MLP_RATIO = 4
_BLOCK_EPS = 1e-6  # epsilon of the layer norms in blocks; those in patch embeddings use torch's default, 1e-5


class PatchEmbed(nn.Module):
    """A convolution that reduces the resolution, followed by a layer norm over the channels at each position."""

    norm: nn.Module

    def __init__(self, proj: nn.Conv3d, suffixes: Sequence[str]) -> None:
        super().__init__()
        self.proj = proj
        add_branches(self, "norm", suffixes, partial(nn.LayerNorm, proj.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 4, 1))
        return normed.permute(0, 4, 1, 2, 3)


class Mlp(nn.Module):
    """Two layers with a GELU in between, for any tensor layout."""

    def __init__(self, fc1: nn.Module, fc2: nn.Module) -> None:
        super().__init__()
        self.fc1 = fc1
        self.fc2 = fc2

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class ConvBlock(nn.Module):
    """Position embedding, local aggregation (depthwise 5x5x5 convolution) and MLP on ``[n, width, t, h, w]``."""

    adaconv: nn.Module
    norm1: nn.Module
    norm2: nn.Module
    preceding_affine: ClassVar[dict[str, str]] = {"conv1": "norm1", "mlp.fc1": "norm2"}

    def __init__(self, width: int, suffixes: Sequence[str]) -> None:
        super().__init__()
        self.pos_embed = _depthwise(width, 3)
        self.conv1 = nn.Conv3d(width, width, 1)
        self.conv2 = nn.Conv3d(width, width, 1)
        self.attn = _depthwise(width, 5)
        self.mlp = Mlp(nn.Conv3d(width, _MLP_RATIO * width, 1), nn.Conv3d(_MLP_RATIO * width, width, 1))
        add_branches(self, "norm1", suffixes, partial(nn.BatchNorm3d, width))
        add_branches(self, "norm2", suffixes, partial(nn.BatchNorm3d, width))
        add_adaptation(self, suffixes, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.adaconv(x)
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Attention(nn.Module):
    """Self-attention over tokens ``[n, tokens, width]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(query * HEAD_WIDTH**-0.5 @ key.transpose(2, 3), dim=-1)
        out: Tensor = self.proj((weights @ value).transpose(1, 2).flatten(2))
        return out


class AttentionBlock(nn.Module):
    """Position embedding, attention over all positions of the clip, and MLP on ``[n, width, t, h, w]``."""

    adaconv: nn.Module
    norm1: nn.Module
    norm2: nn.Module

    def __init__(self, width: int, suffixes: Sequence[str]) -> None:
        super().__init__()
        self.pos_embed = _depthwise(width, 3)
        self.attn = Attention(width)
        self.mlp = Mlp(nn.Linear(width, _MLP_RATIO * width), nn.Linear(_MLP_RATIO * width, width))
        add_branches(self, "norm1", suffixes, partial(nn.LayerNorm, width, eps=_BLOCK_EPS))
        add_branches(self, "norm2", suffixes, partial(nn.LayerNorm, width, eps=_BLOCK_EPS))
        add_adaptation(self, suffixes, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.adaconv(x)
        x = x + self.pos_embed(x)
        tokens: Tensor = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(x.shape)


def _depthwise(width: int, kernel: int) -> nn.Conv3d:
    return nn.Conv3d(width, width, kernel, padding=kernel // 2, groups=width)
