"""Weights of the gates and classifiers, stacked over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...runtime.bundle.manifest import CLASSIFIERS

Array = NDArray[np.float32]
Weights = Mapping[str, Array]  # of one step, without batch norms, by a name that ends in the authors' parameter name
_GATE_LAYERS = {"conv1": 2, "conv2": 2, "linear": 1}  # and the rows of each for every row of the output


class StepLayer(NamedTuple):
    """A linear layer with its own weights at every step: ``weight [steps, out, in]`` and ``bias [steps, out]``.

    It is applied to ``rows`` rows for every row of the part's output: a gate's first layers read two states.
    """

    name: str
    weight: Array
    bias: Array
    rows: int = 1


class StackedHeads(NamedTuple):
    """The gates or the classifiers of consecutive steps, the first of which is ``first_step``."""

    first_step: int
    layers: tuple[StepLayer, ...]

    @property
    def steps(self) -> range:
        """The steps, numbered from 1."""
        return range(self.first_step, self.first_step + len(self.layers[0].weight))

    @property
    def parameters(self) -> int:
        """Number of weights and biases, over all steps."""
        return sum(layer.weight.size + layer.bias.size for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one row, at any step."""
        return sum(layer.rows * layer.weight[0].size for layer in self.layers)


def stacked_heads(part: str, steps: Sequence[Weights]) -> StackedHeads:
    """Return the gates of the steps from 2 on, or the classifiers of all steps, as the part's name says.

    Raises:
        KeyError: a weight is missing.
        ValueError: the layers of the steps differ in size.
    """
    if part == CLASSIFIERS:
        return StackedHeads(1, (_stacked("classifier", "", steps),))
    return StackedHeads(2, tuple(_stacked(name, name, steps, rows) for name, rows in _GATE_LAYERS.items()))


def _stacked(name: str, prefix: str, steps: Sequence[Weights], rows: int = 1) -> StepLayer:
    weights = [_find(each, prefix, "weight") for each in steps]
    biases = [_find(each, prefix, "bias") for each in steps]
    # the weights of 1 x 1 convolutions have two more axes
    return StepLayer(name, np.stack([each.reshape(each.shape[:2]) for each in weights]), np.stack(biases), rows)


def _find(weights: Weights, layer: str, kind: str) -> Array:
    wanted = [part for part in (layer, kind) if part]
    for name, value in weights.items():
        if name.split(".")[-len(wanted) :] == wanted:
            return value
    raise KeyError(".".join(wanted))
