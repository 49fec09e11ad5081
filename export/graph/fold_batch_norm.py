"""Fold batch norms into the adjacent convolution or linear layer, or separate them from the shared weights.

At inference, a batch norm is a scale and a shift per channel. The preceding layer can absorb them, and so can the
following layer if it does not pad its input. Folding is done in float64, so the folded weights are correctly rounded.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...models.ffn.base import Scale

_FOLDABLE = (nn.Conv2d, nn.Conv3d, nn.Linear)
_AXES: dict[type[nn.Module], int] = {nn.BatchNorm1d: 0, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` in evaluation mode with every batch norm folded away.

    A batch norm belongs to the layer before it in a ``Sequential``, to the convolution with the same number (``bn2`` to
    ``conv2``, ``bn`` to ``conv`` and ``conv_f2s``, a list ``bns`` to a list ``convs``), or to the layer whose name it
    extends (``a_bn`` to ``a``). For each layer that follows a batch norm or a `Scale`, a module's ``preceding_affine``
    maps the layer's path, relative to the module, to the name of that norm or scale.
    """
    # Stay in float64 until the end, so that a layer that absorbs norms on both sides is rounded only once.
    folded = copy.deepcopy(module).eval().double()
    for parent in list(folded.modules()):
        for layer, holder, norm_name in list(_pairs(parent)):
            norm = holder._modules.get(norm_name)
            if isinstance(layer, _FOLDABLE) and isinstance(norm, _BatchNorm):
                _fold(layer, norm)
                holder._modules[norm_name] = nn.Identity()
        _fold_forward(parent)
    return folded.float()


class ScaleShift(nn.Module):
    """A batch norm at inference: ``x * scale + shift`` per channel of ``[n, channels, ...]``."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: _BatchNorm, axes: int) -> None:
        super().__init__()
        for name, values in zip(("scale", "shift"), _scale_and_shift(norm)):
            self.register_buffer(name, values.float().view(-1, *([1] * axes)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def separate_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` in evaluation mode with each batch norm replaced by a `ScaleShift`.

    All other layers keep their weights, so networks that differ only in their norms can share them.
    """
    separate = copy.deepcopy(module).eval()
    for parent in list(separate.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, ScaleShift(child, _AXES[type(child)]))
    return separate


def _pairs(parent: nn.Module) -> Iterator[tuple[nn.Module, nn.Module, str]]:
    """Yield each layer, with the module in which its batch norm would be found and the norm's name in it."""
    children = dict(parent.named_children())
    for name, child in children.items():
        for norm_name in _norms_of(parent, name):
            norms = children.get(norm_name)
            if isinstance(child, nn.ModuleList) and isinstance(norms, nn.ModuleList):
                yield from ((layer, norms, place) for place, layer in child.named_children())
            else:
                yield child, parent, norm_name


def _norms_of(parent: nn.Module, name: str) -> tuple[str, ...]:
    if isinstance(parent, nn.Sequential):
        return (str(int(name) + 1),)
    return re.sub(r"^(downsample_)?conv(_f2s)?", r"\1bn", name), f"{name}_bn"


def _fold_forward(parent: nn.Module) -> None:
    pairs: dict[str, str] = getattr(parent, "preceding_affine", {})
    for layer_name, norm_name in pairs.items():
        layer, norm = parent.get_submodule(layer_name), parent.get_submodule(norm_name)
        if isinstance(layer, _FOLDABLE) and isinstance(norm, (_BatchNorm, Scale)):
            _fold_into_next(layer, norm)
            setattr(parent, norm_name, nn.Identity())


def _fold(layer: nn.Module, norm: _BatchNorm) -> None:
    weight, bias = layer.get_parameter("weight"), layer._parameters.get("bias")
    scale, shift = _scale_and_shift(norm)
    before = 0.0 if bias is None else bias.detach().double()
    folded = weight.detach().double() * scale.view(-1, *([1] * (weight.dim() - 1)))
    _set(layer, folded, shift + before * scale)


def _fold_into_next(layer: nn.Module, norm: _BatchNorm | Scale) -> None:
    weight, bias = layer.get_parameter("weight"), layer._parameters.get("bias")
    scale, shift = _scale_and_shift(norm)
    wide = weight.detach().double()
    shifted = (wide.flatten(2).sum(2) if wide.dim() > 2 else wide) @ shift
    folded = wide * scale.view(1, -1, *([1] * (wide.dim() - 2)))
    if bias is None and not bool(shift.any()):
        _set(layer, folded, None)
    else:
        _set(layer, folded, shifted if bias is None else shifted + bias.detach().double())


def _scale_and_shift(norm: _BatchNorm | Scale) -> tuple[Tensor, Tensor]:
    if isinstance(norm, Scale):
        scale = norm.scale.flatten().double()
        return scale, torch.zeros_like(scale)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale


def _set(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    dtype = layer.get_parameter("weight").dtype
    layer.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
