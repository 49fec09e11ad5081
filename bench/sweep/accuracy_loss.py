"""Accuracy loss of a policy relative to running all steps, over the same videos.

Most videos have the same result in both cases, so the paired difference is far less uncertain than either accuracy.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...runtime.families import FAMILIES
from ...runtime.policies.base import Policy
from ..stats.intervals import Interval, bootstrap_interval, resampled_maps
from ..stats.paired_intervals import map_difference_interval
from ..stats.tag_precision import standard_error, tag_difference_interval, tag_influences
from ..trace.replay import exit_steps, probabilities, replayed_map, scores
from ..trace.trace import Trace

_RESAMPLES = 100  # enough for the standard error of an mAP to within about 7 %


class Drop(NamedTuple):
    """Accuracy loss in points relative to running all steps, paired by video, with its interval."""

    points: float
    interval: Interval


def top1_losses(trace: Trace, policy: Policy) -> NDArray[np.float64]:
    """Return, per labeled video, 1 if only the answer after all steps is right, -1 if only the policy's is, else 0."""
    steps = exit_steps(policy, trace)
    full, early = trace.hits[-1], trace.hits[steps - 1, np.arange(len(steps))]
    losses: NDArray[np.float64] = (full.astype(np.float64) - early)[trace.labeled]
    return losses


def top1_drop(trace: Trace, policy: Policy) -> Drop | None:
    """Return the loss in top-1 (Hit@1); None if no videos are labeled."""
    losses = 100 * top1_losses(trace, policy)
    return Drop(float(losses.mean()), bootstrap_interval(losses)) if len(losses) else None


def map_drop(trace: Trace, policy: Policy) -> Drop | None:
    """Return the loss in mAP; None if no class has any positive videos."""
    full = FAMILIES.get(trace.header.family).all_steps(trace.frames)
    early, late = exit_steps(policy, trace), exit_steps(full, trace)
    lost = replayed_map(trace, late) - replayed_map(trace, early)
    if np.isnan(lost):
        return None
    if trace.tag_labels is not None:
        before, after = (scores(trace, steps) for steps in (early, late))
        interval = tag_difference_interval(before, after, trace.tag_labels, trace.protocol)
    else:
        interval = map_difference_interval(probabilities(trace, early), probabilities(trace, late), trace.multi_hot)
    return Drop(100 * lost, Interval(100 * interval.low, 100 * interval.high))


class DropError:
    """Standard errors of losses over the videos of one trace, in points."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def of(self, policy: Policy) -> float:
        """Return the standard error of the policy's loss in the trace's metric."""
        return self._map(policy) if self._trace.header.metric == "map" else self._top1(policy)

    def _top1(self, policy: Policy) -> float:
        # Half a video in each of the four cells of the 2 x 2 table (Agresti and Min 2005): a loss that no video shows
        # is not certain to be zero.
        losses = top1_losses(self._trace, policy)
        videos = len(losses) + 2
        return 100 * float(np.sqrt((losses**2).sum() + 1 - losses.sum() ** 2 / videos)) / videos

    def _map(self, policy: Policy) -> float:
        if self._trace.tag_labels is not None:
            return 100 * standard_error(self._full_influences - self._influences(exit_steps(policy, self._trace)))
        differences = self._full_maps - self._maps(exit_steps(policy, self._trace))
        return 100 * float(np.nanstd(differences, ddof=1))

    @cached_property
    def _full_maps(self) -> NDArray[np.float64]:
        return self._maps(np.full(len(self._trace.videos), self._trace.steps))

    @cached_property
    def _full_influences(self) -> NDArray[np.float64]:
        return self._influences(np.full(len(self._trace.videos), self._trace.steps))

    def _influences(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        assert self._trace.tag_labels is not None
        return tag_influences(scores(self._trace, steps), self._trace.tag_labels, self._trace.protocol)

    def _maps(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        return resampled_maps(probabilities(self._trace, steps), self._trace.multi_hot, self._weights)

    @cached_property
    def _weights(self) -> NDArray[np.unsignedinteger]:
        videos = len(self._trace.videos)
        drawn = np.random.default_rng(0).multinomial(videos, np.full(videos, 1 / videos), _RESAMPLES)
        weights: NDArray[np.unsignedinteger] = drawn.T.astype(np.uint32)
        return weights
