"""Confidence measures computed from logits: class probabilities, the top probability and the normalized entropy.

Probabilities are the softmax of the logits, or their sigmoid if classes are not mutually exclusive.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..bundle.manifest import Output


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over the last axis, in float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sigmoid of every logit, in float32."""
    with np.errstate(over="ignore"):  # exp overflows to infinity, which makes the sigmoid 0
        probabilities: NDArray[np.float32] = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return probabilities


def probabilities_of(logits: NDArray[np.float32], output: Output) -> NDArray[np.float32]:
    """Return the class probabilities over the last axis, in float32."""
    return sigmoid(logits) if output == "sigmoid" else softmax(logits)


def confidence_and_entropy(logits: NDArray[np.float32], output: Output = "softmax") -> tuple[float, float]:
    """Return the top probability and the entropy (0 = certain, 1 = uniform) of logits ``[classes]``.

    For a sigmoid, the entropy is the mean of the binary entropies of the classes.
    """
    if output == "sigmoid":
        return _sigmoid_confidence(logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        probabilities = softmax(logits)
        terms = np.where(probabilities == 0, np.float32(0), probabilities * np.log(probabilities))
    return float(probabilities.max()), float(-terms.sum() / np.log(max(len(logits), 2)))


def _sigmoid_confidence(logits: NDArray[np.float32]) -> tuple[float, float]:
    has, lacks = sigmoid(logits), sigmoid(-logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(share == 0, np.float32(0), share * np.log(share)) for share in (has, lacks)]
    return float(has.max()), float(-(terms[0] + terms[1]).mean()) / math.log(2)
