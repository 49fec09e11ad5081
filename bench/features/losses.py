"""Loss of a classifier on one video, from which the gates' labels are derived. To add a loss, add a function here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

CROSS_ENTROPY: Final = "cross_entropy"


def cross_entropy(logits: NDArray[np.float32], labels: Sequence[int]) -> NDArray[np.float32]:
    """Return the cross-entropy at each step, float32 ``[steps]``; with several labels, the smallest one.

    With several labels, an exit whose top class is any one of them is right. Without a label, all losses are NaN.

    Args:
        logits: float32 ``[steps, classes]``.
        labels: class indices of the video.
    """
    if not labels:
        return np.full(len(logits), np.nan, np.float32)
    exact = logits.astype(np.float64)
    top = exact.max(axis=1, keepdims=True)
    total = np.log(np.exp(exact - top).sum(axis=1, keepdims=True)) + top
    found: NDArray[np.float32] = (total - exact[:, list(labels)]).min(axis=1).astype(np.float32)
    return found


LOSSES: dict[str, Callable[[NDArray[np.float32], Sequence[int]], NDArray[np.float32]]] = {CROSS_ENTROPY: cross_entropy}
