"""Replay a policy over a trace: where every video would have ended, without running the network.

Prediction and exit step equal those of a real run, video by video; see `Trace.exits_by_step`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...runtime.policies.base import Policy
from ...runtime.policies.confidence import softmax
from ..stats.accuracy import mean_average_precision
from .trace import Trace


def exit_steps(policy: Policy, trace: Trace) -> NDArray[np.int64]:
    """Return the 1-based step of the trace at which each video ends, int64 ``[n]``."""
    steps = np.zeros(len(trace.videos), np.int64)
    for step, leaving in trace.exits_by_step(policy):
        steps[leaving] = step
    return steps


def predictions(trace: Trace, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class that each video has when it ends at its step, int64 ``[n]``."""
    found: NDArray[np.int64] = trace.predictions[steps - 1, np.arange(len(steps))]
    return found


def probabilities(trace: Trace, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the softmax that each video has when it ends at its step, float32 ``[n, classes]``."""
    return softmax(trace.logits[steps - 1, np.arange(len(steps))])


def replayed_map(trace: Trace, steps: NDArray[np.int64]) -> float:
    """Return the mean average precision, 0..1, of videos that end at these steps."""
    return mean_average_precision(probabilities(trace, steps), trace.multi_hot)
