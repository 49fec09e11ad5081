"""Choose an exit policy for a target, and tell honestly what it is worth.

Thresholds are chosen on one half of the videos and reported on the other, never on the same: what looks best among
thousands of candidates has also been lucky. With a ``delta`` the accuracy drop is not only aimed at but promised, by
Learn-then-Test along a Pareto front (Angelopoulos et al. 2021; Laufer-Goldshtein et al. 2023): the first half is halved
again, one quarter orders the candidates, the other tests them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckError, UsageError
from ...runtime.policies.base import Candidate, Policy
from ...runtime.policies.registry import policy_of
from ..stats.bootstrap import Interval, bootstrap_interval
from ..trace.replay import exit_steps
from ..trace.trace import Trace
from .operating_points import Listener, Point, ReplaySource, evaluate, mark_front
from .policy_grid import DEFAULT, candidates, full_policy
from .risk_bound import largest_safe, videos_needed


@dataclass(frozen=True)
class Target:
    """What the policy has to meet; one of the first three is given.

    Attributes:
        gflops: at most so many per video, as the paper counts them (GMACs where it gives no constant).
        max_drop: at most so many points of accuracy less than with all steps.
        ms: at most so many milliseconds expected latency.
        delta: of ``max_drop``, how probable it may be that the drop is larger; None: it is an aim, no promise.
    """

    gflops: float | None = None
    max_drop: float | None = None
    ms: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        given = {"--target-gflops": self.gflops, "--max-drop": self.max_drop, "--target-ms": self.ms}
        if sum(value is not None for value in given.values()) != 1:
            raise UsageError("no target, or several", f"give one of {', '.join(given)}")
        for name, value in given.items():
            if value is not None and not 0 <= value < np.inf:
                raise UsageError(f"{name} {value:g} is out of range", "give a number from 0 up")
        if self.delta is None:
            return
        if self.max_drop is None:
            raise UsageError("--delta promises a drop in accuracy", "give it with --max-drop")
        if not (0 < self.delta < 1 and 0 < self.max_drop < 100):
            raise UsageError(
                f"a drop of {self.max_drop:g} points with --delta {self.delta:g} cannot be promised",
                "give a drop between 0 and 100 and a delta between 0 and 1",
            )


class Drop(NamedTuple):
    """Points of accuracy that a policy loses against all steps, video by video, with the interval."""

    points: float
    interval: Interval


@dataclass(frozen=True)
class TuneResult:
    """A policy that was chosen.

    Attributes:
        calibration: what it comes to on the videos that it was chosen on, ``held_out`` on the others.
        all_steps: all steps, on the held-out videos.
        drop: what it loses there, in top-1 (Hit@1); None where no video is labeled.
        tested: how many videos the promise rests on; None without one.
    """

    policy: Policy
    calibration: Point
    held_out: Point
    all_steps: Point
    drop: Drop | None
    tested: int | None


def tune(
    source: ReplaySource,
    target: Target,
    groups: tuple[str, ...] | None = None,
    points: int = 1000,
    seed: int = 0,
    listener: Listener = lambda _done, _total: None,
) -> TuneResult:
    """Choose the policy that meets ``target`` best: the most accurate one, or the cheapest for a drop.

    Raises:
        UsageError: no policy meets it on the calibration half, or there is no such group to choose from.
        CheckError: the data are too few, or too uncertain, for a promise.
    """
    order = np.random.default_rng(seed).permutation(len(source.trace.videos))
    half = len(order) // 2
    if not half:
        raise UsageError(f"{source.run}: {len(order)} video cannot be halved", "record more videos")
    chosen_on, held_out = (_subset(source, chosen) for chosen in (order[:half], order[half:]))
    if target.delta is None:
        point, tested = _best(_points(chosen_on, groups, points, listener), target, chosen_on), None
    else:
        point, tested = _best_with_guarantee(chosen_on, target, groups, points, listener)
    policy = policy_of(point.policy, source.run)
    candidate = Candidate(point.family, policy, point.searched)
    (reported,), (all_steps,) = (evaluate(held_out, [each]) for each in (candidate, full_policy(held_out.trace)))
    return TuneResult(policy, point, reported, all_steps, _drop(held_out.trace, policy), tested)


def _subset(source: ReplaySource, chosen: NDArray[np.int64]) -> ReplaySource:
    return replace(source, trace=source.trace.subset(chosen))


def _points(source: ReplaySource, groups: tuple[str, ...] | None, points: int, listener: Listener) -> list[Point]:
    found = evaluate(source, [full_policy(source.trace), *_eligible(source.trace, groups, points)], listener)
    known = [point for point in found if point.accuracy is not None]
    if not known:
        raise UsageError(f"{source.run}: no video is labeled", "record a data set with labels")
    return known


def _eligible(trace: Trace, groups: tuple[str, ...] | None, points: int) -> list[Candidate]:
    """Return the candidates of the groups; where none are named, those that are more than a baseline."""
    # the default policy is among all candidates, whatever groups were asked for
    found = [each for each in candidates(trace, groups, points) if each.group != DEFAULT]
    if groups is None:
        return [each for each in found if each.runnable and not each.baseline]
    for each in found:
        if not each.runnable:
            raise UsageError(f"the {each.group} knows the answers and cannot be run", "choose other policies")
    return found


def _best(points: Sequence[Point], target: Target, source: ReplaySource) -> Point:
    if target.max_drop is not None:
        least = (points[0].accuracy or 0) - target.max_drop  # the first one runs all steps
        meeting = [point for point in points if _accuracy(point) >= least]
        return min(meeting, key=lambda point: (point.gmacs, -_accuracy(point)))
    limit = target.gflops if target.ms is None else target.ms
    assert limit is not None
    unit = "GFLOPs" if target.ms is None else "ms"
    meeting = [point for point in points if _cost(point, target) <= limit]
    if not meeting:
        least = min(_cost(point, target) for point in points)
        raise UsageError(
            f"{source.run}: no policy takes {limit:g} {unit} or less", f"the least that one takes is {least:.4g}"
        )
    return max(meeting, key=lambda point: (_accuracy(point), -_cost(point, target)))


def _accuracy(point: Point) -> float:
    assert point.accuracy is not None
    return point.accuracy


def _cost(point: Point, target: Target) -> float:
    if target.ms is not None:
        return point.latency_ms
    return point.gmacs if point.gflops_paper is None else point.gflops_paper


def _best_with_guarantee(
    source: ReplaySource, target: Target, groups: tuple[str, ...] | None, points: int, listener: Listener
) -> tuple[Point, int]:
    assert target.max_drop is not None
    assert target.delta is not None
    places = np.arange(len(source.trace.videos))
    ordering, testing = (_subset(source, chosen) for chosen in (places[::2], places[1::2]))
    labeled, epsilon = int(testing.trace.labeled.sum()), target.max_drop / 100
    claim = f"a drop of at most {target.max_drop:g} points with probability {1 - target.delta:g}"
    needed = videos_needed(epsilon, target.delta)
    if labeled < needed:
        raise CheckError(
            f"{labeled} videos are too few to promise {claim}",
            f"that takes {needed} or more to test on, a quarter of the trace: {4 * needed} in all",
        )
    front = [point for point in mark_front(_points(ordering, groups, points, listener)) if point.pareto]
    front.sort(key=lambda point: -point.gmacs)
    policies = [policy_of(point.policy, source.run) for point in front]
    safe = largest_safe((_losses(testing.trace, policy) for policy in policies), epsilon, target.delta)
    if not safe:
        raise CheckError(
            f"{labeled} videos do not show {claim} for any policy that exits early",
            "allow more, or record more videos",
        )
    (point,) = evaluate(source, [Candidate(front[safe - 1].family, policies[safe - 1], front[safe - 1].searched)])
    return point, labeled


def _losses(trace: Trace, policy: Policy) -> NDArray[np.float64]:
    """Return, for each labeled video, 1 if only all steps are right, -1 if only the policy is, else 0."""
    steps = exit_steps(policy, trace)
    full, early = trace.hits[-1], trace.hits[steps - 1, np.arange(len(steps))]
    losses: NDArray[np.float64] = (full.astype(np.float64) - early)[trace.labeled]
    return losses


def _drop(trace: Trace, policy: Policy) -> Drop | None:
    losses = 100 * _losses(trace, policy)
    return Drop(float(losses.mean()), bootstrap_interval(losses)) if len(losses) else None
