"""Operating points: accuracy, compute and latency of a policy replayed over a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...runtime.policies.base import Candidate, Policy, Tally
from ...runtime.policies.registry import policy_of
from ..stats.intervals import Interval, map_interval, proportion_intervals
from ..stats.tag_precision import tag_interval
from ..trace.replay import exit_steps, probabilities, replayed_map, scores
from ..trace.step_times import StepTimes
from ..trace.trace import Trace
from .pareto import pareto_front

Listener = Callable[[int, int], None]


@dataclass(frozen=True)
class Point:
    """Operating point of a policy; compute and time are means per video.

    Attributes:
        run: the run whose trace was replayed; ``bundle`` is its bundle.
        family: group of the policy, such as ``gates``; a column name of the sweep file.
        policy: its record; ``policy_label`` is a short text for tables.
        accuracy: in percent, with its ``interval``; None if no videos are labeled (for mAP, only points on the Pareto
            front have an interval).
        gflops_paper: MACs as counted by FrameExit's authors; None for networks without a published constant.
        gmacs: 1e9 multiply-accumulates of every part that would have run.
        exits: number of videos that exit at each step of the trace.
        latency_ms, videos_per_s: expected values, from the measured times of the steps.
        pareto: whether the point is on the Pareto front of the runnable points.
    """

    run: str
    bundle: str
    family: str
    policy: dict[str, Any]
    accuracy: float | None
    interval: Interval | None
    gflops_paper: float | None
    gmacs: float
    mean_frames: float
    exits: tuple[int, ...]
    latency_ms: float
    videos_per_s: float
    searched: bool
    runnable: bool
    pareto: bool = False
    policy_label: str = ""


@dataclass(frozen=True)
class ReplaySource:
    """A trace to replay, the name of its run, and the times of its steps."""

    run: str
    trace: Trace
    times: StepTimes


def evaluate(
    source: ReplaySource, candidates: Sequence[Candidate], listener: Listener = lambda _d, _t: None
) -> list[Point]:
    """Replay the candidates; ``listener`` receives (done, total) after each one.

    The Pareto front is marked later, by `mark_front`.
    """
    top1 = source.trace.header.metric == "top1"
    points = []
    for number, candidate in enumerate(candidates, start=1):
        counted = source.trace.tally(candidate.policy)
        accuracy = _top1(counted, source.trace) if top1 else _map(candidate.policy, source.trace)
        points.append(_point(source, candidate, counted, accuracy))
        listener(number, len(candidates))
    return _with_top1_intervals(source.trace, points) if top1 else points


def mark_front(points: Sequence[Point]) -> list[Point]:
    """Mark the Pareto front of accuracy versus GMACs, jointly over all points."""
    competing = [place for place, point in enumerate(points) if point.runnable and point.accuracy is not None]
    cost = np.array([points[place].gmacs for place in competing])
    accuracy = np.array([points[place].accuracy for place in competing], np.float64)
    front = {place for place, best in zip(competing, pareto_front(cost, accuracy)) if best}
    return [replace(point, pareto=place in front) for place, point in enumerate(points)]


def add_map_intervals(points: Sequence[Point], sources: Sequence[ReplaySource]) -> list[Point]:
    """Add mAP intervals to the points on the front; computing them for all points would take hours."""
    traces = {source.run: source.trace for source in sources}
    return [
        replace(point, interval=_map_interval(traces[point.run], policy_of(point.policy, point.run)))
        if point.pareto and point.interval is None
        else point
        for point in points
    ]


def _point(source: ReplaySource, candidate: Candidate, counted: Tally, accuracy: float | None) -> Point:
    header, policy = source.trace.header, candidate.policy
    shares = counted.exits / counted.exits.sum()
    frames = float(shares @ header.costs.frames_at_exit(policy))
    per_frame = header.paper_gmacs_per_frame
    summed = header.costs.summed
    return Point(
        run=source.run,
        bundle=header.bundle,
        family=candidate.group,
        policy=policy.record(),
        accuracy=accuracy,
        interval=None,
        gflops_paper=None if per_frame is None else per_frame * frames,
        gmacs=float(shares @ header.costs.macs_at_exit(policy)) / 1e9,
        mean_frames=frames,
        exits=tuple(counted.exits.tolist()),
        latency_ms=float(shares @ summed(source.times.latency_ms, policy)),
        videos_per_s=1e3 / max(float(shares @ summed(source.times.elapsed_ms, policy)), 1e-9),
        searched=candidate.searched,
        runnable=candidate.runnable,
        policy_label=policy.label(),
    )


def _top1(counted: Tally, trace: Trace) -> float | None:
    labeled = int(trace.labeled.sum())
    return 100 * counted.right / labeled if labeled else None


def _map(policy: Policy, trace: Trace) -> float | None:
    value = replayed_map(trace, exit_steps(policy, trace))
    return None if np.isnan(value) else 100 * value


def _with_top1_intervals(trace: Trace, points: list[Point]) -> list[Point]:
    labeled = int(trace.labeled.sum())
    if not labeled:
        return points
    right = np.array([round((point.accuracy or 0) * labeled / 100) for point in points], np.int64)
    bounds = 100 * proportion_intervals(right, labeled)
    return [replace(point, interval=Interval(*map(float, bound))) for point, bound in zip(points, bounds)]


def _map_interval(trace: Trace, policy: Policy) -> Interval:
    steps = exit_steps(policy, trace)
    if trace.tag_labels is not None:
        interval = tag_interval(scores(trace, steps), trace.tag_labels, trace.protocol)
    else:
        interval = map_interval(probabilities(trace, steps), trace.multi_hot)
    return Interval(100 * interval.low, 100 * interval.high)
