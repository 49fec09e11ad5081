"""Describe the gates and classifiers of a network, or of an earlier bundle, as parts to write."""

from __future__ import annotations

from ...models.frameexit.heads import Heads
from ...models.part import Part
from ...runtime.bundle.manifest import CLASSIFIERS
from ..graph.write import tensor_spec
from .layers import StackedHeads, Weights, module_weights, stacked_classifiers, stacked_gates
from .write import HeadPart


def head_part(part: Part) -> HeadPart:
    """Return the gates or classifiers of a network."""
    module = part.module
    assert isinstance(module, Heads)
    inputs = tuple(map(tensor_spec, part.inputs))
    heads = stacked(part.name, [module_weights(step) for step in module.by_step])
    return HeadPart(part.name, inputs, tensor_spec(part.output), heads)


def stacked(part: str, steps: list[Weights]) -> StackedHeads:
    """Return the weights of a part's steps, stacked.

    Raises:
        KeyError: a weight is missing.
    """
    return stacked_classifiers(steps) if part == CLASSIFIERS else stacked_gates(steps)
