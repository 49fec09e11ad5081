"""Replay a policy over a trace: the exit step of every video, without running the network.

Predictions and exit steps equal those of a real run, video by video; see `Trace.exits_by_step`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...runtime.policies.base import Policy
from ...runtime.policies.confidence import probabilities_of
from ..stats.accuracy import mean_average_precision
from ..stats.tag_precision import ArrayScores, Scores, tag_map
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
    """Return the probabilities of each video at its exit step, float32 ``[n, classes]``."""
    if trace.stored is not None:
        return scores(trace, steps).columns(0, trace.header.classes)
    return probabilities_of(trace.logits[steps - 1, np.arange(len(steps))], trace.header.output)


def scores(trace: Trace, steps: NDArray[np.int64]) -> Scores:
    """Return each video's probabilities at its exit step; they may be read from a file on access."""
    if trace.stored is not None:
        return trace.stored.select(np.arange(len(steps)) * trace.steps + steps - 1)
    return ArrayScores(probabilities(trace, steps))


def replayed_map(trace: Trace, steps: NDArray[np.int64]) -> float:
    """Return the mean average precision, 0..1, of videos that exit at these steps."""
    if trace.tag_labels is not None:
        return tag_map(scores(trace, steps), trace.tag_labels, trace.protocol)
    return mean_average_precision(probabilities(trace, steps), trace.multi_hot)
