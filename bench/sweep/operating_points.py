"""Operating points: accuracy, compute and latency of a policy replayed over a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...runtime.policies.base import Candidate, Policy, Tally
from ...runtime.policies.registry import policy_of
from ..stats.bootstrap import Interval, map_interval, proportion_intervals
from ..trace.replay import exit_steps, probabilities, replayed_map
from ..trace.step_times import StepTimes
from ..trace.trace import Trace
from .pareto import pareto_front

Listener = Callable[[int, int], None]


@dataclass(frozen=True)
class Point:
    """What a policy comes to; compute and time are means of a video.

    Attributes:
        run: the run whose trace was replayed, and the ``bundle`` that it ran.
        family: the group that the policy is compared in, such as ``gates``; the name of the column of a sweep.
        policy: its record; ``policy_label`` is a short text for tables.
        accuracy: in percent, with its ``interval``; None where no video is labeled (of mAP, only points of the Pareto
            front have an interval).
        gflops_paper: as FrameExit's authors count (MACs), None for networks that they give no constant for.
        gmacs: 1e9 multiply-accumulates of every part that would have run.
        exits: how many videos end at each step of the trace.
        latency_ms, videos_per_s: expected from the time that the steps took when they were measured.
        pareto: no other point has both more accuracy and less compute; only points that could be run compete.
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
    """A trace to replay, the name of its run, and the time its steps take."""

    run: str
    trace: Trace
    times: StepTimes


def evaluate(
    source: ReplaySource, candidates: Sequence[Candidate], listener: Listener = lambda _d, _t: None
) -> list[Point]:
    """Replay the candidates; ``listener`` hears how many of how many are done. See `mark_front` for what is missing."""
    top1 = source.trace.header.metric == "top1"
    found = []
    for number, candidate in enumerate(candidates, start=1):
        counted = source.trace.tally(candidate.policy)
        accuracy = _top1(counted, source.trace) if top1 else _map(candidate.policy, source.trace)
        found.append(_point(source, candidate, counted, accuracy))
        listener(number, len(candidates))
    return _with_top1_intervals(source.trace, found) if top1 else found


def mark_front(points: Sequence[Point]) -> list[Point]:
    """Mark the Pareto front of accuracy against GMACs; of several traces, that of all of them together."""
    competing = [place for place, point in enumerate(points) if point.runnable and point.accuracy is not None]
    cost = np.array([points[place].gmacs for place in competing])
    accuracy = np.array([points[place].accuracy for place in competing], np.float64)
    front = {place for place, best in zip(competing, pareto_front(cost, accuracy)) if best}
    return [replace(point, pareto=place in front) for place, point in enumerate(points)]


def add_map_intervals(points: Sequence[Point], sources: Sequence[ReplaySource]) -> list[Point]:
    """Give the points of the front their intervals of mAP; all points' would take hours."""
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
    found = map_interval(probabilities(trace, exit_steps(policy, trace)), trace.multi_hot)
    return Interval(100 * found.low, 100 * found.high)
