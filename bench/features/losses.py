"""Loss of a classifier on one video, as used for the gates' labels. To add a kind of loss, write one function here.

Each function takes the logits, float32 ``[steps, classes]``, the distinct class indices of the video, and the category
of every class (None without categories); it returns float32 ``[steps]``, NaN for a video without a class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

CROSS_ENTROPY: Final = "cross_entropy"
BINARY_CROSS_ENTROPY: Final = "binary_cross_entropy"

Loss = Callable[[NDArray[np.float32], Sequence[int], Sequence[str] | None], NDArray[np.float32]]


def cross_entropy(
    logits: NDArray[np.float32],
    labels: Sequence[int],
    categories: Sequence[str] | None = None,  # noqa: ARG001 - for losses of tags
) -> NDArray[np.float32]:
    """Return the cross-entropy of a softmax; for several labels, the smallest one.

    With several labels, an exit whose top class is any one of them is right.
    """
    if not labels:
        return np.full(len(logits), np.nan, np.float32)
    exact = logits.astype(np.float64)
    top = exact.max(axis=1, keepdims=True)
    total = np.log(np.exp(exact - top).sum(axis=1, keepdims=True)) + top
    found: NDArray[np.float32] = (total - exact[:, list(labels)]).min(axis=1).astype(np.float32)
    return found


def binary_cross_entropy(
    logits: NDArray[np.float32], labels: Sequence[int], categories: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Return the mean over tags of the binary cross-entropy of a sigmoid.

    A category in which the video has no tags may be unannotated, so it does not count; without categories, all tags do.
    """
    if not labels:
        return np.full(len(logits), np.nan, np.float32)
    places = list(labels)
    exact = logits.astype(np.float64)
    exact[:, places] *= -1  # the loss is log(1 + exp(-x)) for a positive and log(1 + exp(x)) for a negative
    if categories is not None:
        annotated = {categories[place] for place in places}
        exact = exact[:, [name in annotated for name in categories]]
    found: NDArray[np.float32] = np.logaddexp(0, exact).mean(axis=1).astype(np.float32)
    return found


LOSSES: dict[str, Loss] = {CROSS_ENTROPY: cross_entropy, BINARY_CROSS_ENTROPY: binary_cross_entropy}
