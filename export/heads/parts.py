"""Describe the gates and classifiers of a network as parts to write."""

from __future__ import annotations

from torch import nn

from ...models.frameexit.heads import Heads
from ...models.part import Part
from ..graph.fold_batch_norm import fold_batch_norms
from ..graph.write import tensor_spec
from .layers import Weights, stacked_heads
from .write import HeadPart


def head_part(part: Part) -> HeadPart:
    """Return the gates or classifiers of a network."""
    module = part.module
    assert isinstance(module, Heads)
    inputs = tuple(map(tensor_spec, part.inputs))
    heads = stacked_heads(part.name, list(map(_weights, module.by_step)))
    return HeadPart(part.name, inputs, tensor_spec(part.output), heads)


def _weights(step: nn.Module) -> Weights:
    return {name: tensor.numpy() for name, tensor in fold_batch_norms(step).state_dict().items()}
