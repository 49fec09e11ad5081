"""Replay a policy over a trace: the exit step of every video, without running the network.

Predictions and exit steps equal those of a real run, video by video; see `Trace.exits_by_step`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...runtime.policies.base import Policy
from ...runtime.policies.confidence import softmax
from ..stats.accuracy import mean_average_precision
from .trace import Trace


def exit_steps(policy: Policy, trace: Trace) -> NDArray[np.int64]:
    """Return the 1-based trace step at which each video exits, int64 ``[n]``."""
    steps = np.zeros(len(trace.videos), np.int64)
    for step, leaving in trace.exits_by_step(policy):
        steps[leaving] = step
    return steps


def predictions(trace: Trace, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the predicted class of each video at its exit step, int64 ``[n]``."""
    found: NDArray[np.int64] = trace.predictions[steps - 1, np.arange(len(steps))]
    return found


def probabilities(trace: Trace, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the softmax of each video at its exit step, float32 ``[n, classes]``."""
    return softmax(trace.logits[steps - 1, np.arange(len(steps))])


def replayed_map(trace: Trace, steps: NDArray[np.int64]) -> float:
    """Return the mean average precision, 0..1, of videos that exit at these steps."""
    return mean_average_precision(probabilities(trace, steps), trace.multi_hot)
