"""Fold batch norms into the convolution or linear layer in front of them.

At inference a batch norm is a scale and a shift per channel, which the layer before it can take over. The folding is
done in float64, so that the folded weights are the correctly rounded ones.
"""

from __future__ import annotations

import copy
import re

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_FOLDABLE = (nn.Conv2d, nn.Linear)


def without_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` in evaluation mode with every batch norm folded away.

    A batch norm belongs to the layer before it in a ``Sequential``, or to the convolution whose number its name carries
    (``bn2`` to ``conv2``).
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        children = dict(parent.named_children())
        for name, child in children.items():
            norm_name = _norm_of(parent, name)
            norm = children.get(norm_name)
            if isinstance(child, _FOLDABLE) and isinstance(norm, _BatchNorm):
                _fold(child, norm)
                setattr(parent, norm_name, nn.Identity())
    return folded


def _norm_of(parent: nn.Module, name: str) -> str:
    if isinstance(parent, nn.Sequential):
        return str(int(name) + 1)
    return re.sub(r"^conv", "bn", name)


def _fold(layer: nn.Module, norm: _BatchNorm) -> None:
    weight, bias = layer.get_parameter("weight"), layer._parameters.get("bias")
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * scale
        before = 0.0 if bias is None else bias.double()
        folded = weight.double() * scale.view(-1, *([1] * (weight.dim() - 1)))
        layer.weight = nn.Parameter(folded.to(weight.dtype), requires_grad=False)
        layer.bias = nn.Parameter((shift + before * scale).to(weight.dtype), requires_grad=False)
