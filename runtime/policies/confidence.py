"""Confidence measures of logits: softmax, its top probability, and its normalized entropy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over the last axis, in float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def confidence_and_entropy(logits: NDArray[np.float32]) -> tuple[float, float]:
    """Return the top softmax probability of logits ``[classes]``, and their entropy (0 = certain, 1 = uniform)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        probabilities = softmax(logits)
        terms = np.where(probabilities == 0, np.float32(0), probabilities * np.log(probabilities))
    return float(probabilities.max()), float(-terms.sum() / np.log(max(len(logits), 2)))
