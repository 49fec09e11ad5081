"""Replay a policy over a trace: where every video would have ended, without running the network.

The policy is the very object that the runtime obeys, asked with arrays instead of numbers; prediction and exit step
equal those of a real run, video by video.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...runtime.networks.prediction import softmax
from ...runtime.policies.base import Policy
from ...runtime.policies.cascade import Cascade
from ..stats.accuracy import mean_average_precision
from .trace import Trace


class Tally(NamedTuple):
    """How many videos end at each step, int64 ``[steps]``, and how many of the labelled ones are right then."""

    exits: NDArray[np.int64]
    right: int


def tried_steps(policy: Policy, trace: Trace) -> list[int]:
    """Return the places (from 0) of the steps that a policy can take: of a cascade those of its frame counts."""
    if not isinstance(policy, Cascade):
        policy.check_steps(trace.steps)
        return list(range(trace.steps))
    policy.check_counts(trace.header.costs.frames)
    return [trace.header.costs.frames.index(count) for count in policy.counts]


def exit_steps(policy: Policy, trace: Trace) -> NDArray[np.int64]:
    """Return the 1-based step of the trace at which each video ends, int64 ``[n]``."""
    steps = np.zeros(len(trace.videos), np.int64)
    for place, leaving in _leaving(policy, trace):
        steps[leaving] = place + 1
    return steps


def tally(policy: Policy, trace: Trace) -> Tally:
    """Count where videos end and how many are right."""
    exits, right = np.zeros(trace.steps, np.int64), 0
    for place, leaving in _leaving(policy, trace):
        exits[place] = np.count_nonzero(leaving)
        right += int(np.count_nonzero(leaving & trace.counted_hits[place]))
    return Tally(exits, right)


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


def _leaving(policy: Policy, trace: Trace) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield, step by step, which videos end there (bool ``[n]``)."""
    tried = tried_steps(policy, trace)
    going = np.ones(len(trace.videos), np.bool_)
    for place in tried[:-1]:
        leaving = going & policy.exits(trace.evidence[place])
        yield place, leaving
        going &= ~leaving
    yield tried[-1], going
