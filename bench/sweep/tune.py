"""Choose an exit policy for a target and report its held-out performance.

Thresholds are chosen on one half of the videos and reported on the other: the best of thousands of candidates is
optimistically biased. With a ``delta`` the accuracy drop is guaranteed, by Learn-then-Test along a Pareto front
(Angelopoulos et al. 2021; Laufer-Goldshtein et al. 2023): the first half is split again; one quarter orders the
candidates, the other tests them.
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
    """Target of the policy; exactly one of the first three is given.

    Attributes:
        gflops: maximum per video, as counted in the paper (GMACs if it publishes no constant).
        max_drop: maximum loss in points of accuracy relative to all steps.
        ms: maximum expected latency in milliseconds.
        delta: for ``max_drop``, the allowed probability of a larger drop; None: no guarantee.
    """

    gflops: float | None = None
    max_drop: float | None = None
    ms: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        given = {"--target-gflops": self.gflops, "--max-drop": self.max_drop, "--target-ms": self.ms}
        if sum(value is not None for value in given.values()) != 1:
            raise UsageError("expected exactly one target", f"give one of {', '.join(given)}")
        for name, value in given.items():
            if value is not None and not 0 <= value < np.inf:
                raise UsageError(f"{name} {value:g} is out of range", "give a number >= 0")
        if self.delta is None:
            return
        if self.max_drop is None:
            raise UsageError("--delta requires --max-drop", "add --max-drop or drop --delta")
        if not (0 < self.delta < 1 and 0 < self.max_drop < 100):
            raise UsageError(
                f"cannot guarantee a drop of {self.max_drop:g} points with --delta {self.delta:g}",
                "give a drop between 0 and 100 and a delta between 0 and 1",
            )


class Drop(NamedTuple):
    """Loss in points of accuracy relative to all steps, paired by video, with its interval."""

    points: float
    interval: Interval


@dataclass(frozen=True)
class TuneResult:
    """A chosen policy.

    Attributes:
        calibration: operating point on the videos it was chosen on; ``held_out`` is that on the other videos.
        all_steps: operating point of the full policy on the held-out videos.
        drop: loss on the held-out videos in top-1 (Hit@1); None if no video is labeled.
        tested: number of videos that the guarantee rests on; None without one.
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
    """Choose the best policy that meets ``target``: the most accurate one, or for a drop the cheapest one.

    Raises:
        UsageError: no policy meets it on the calibration half, or there is no such group.
        CheckError: the data are too few or too uncertain for a guarantee.
    """
    order = np.random.default_rng(seed).permutation(len(source.trace.videos))
    half = len(order) // 2
    if not half:
        raise UsageError(f"{source.run} has {len(order)} video, too few to split in half", "record more videos")
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
        raise UsageError(f"{source.run} has no labeled video", "record a data set with labels")
    return known


def _eligible(trace: Trace, groups: tuple[str, ...] | None, points: int) -> list[Candidate]:
    """Return the runnable candidates of the groups; without groups, exclude baselines."""
    # `candidates` always includes the default policy
    found = [each for each in candidates(trace, groups, points) if each.group != DEFAULT]
    if groups is None:
        return [each for each in found if each.runnable and not each.baseline]
    for each in found:
        if not each.runnable:
            raise UsageError(f"the {each.group} uses the labels and cannot be run", "choose other policies")
    return found


def _best(points: Sequence[Point], target: Target, source: ReplaySource) -> Point:
    if target.max_drop is not None:
        least = (points[0].accuracy or 0) - target.max_drop  # the first point runs all steps
        meeting = [point for point in points if _accuracy(point) >= least]
        return min(meeting, key=lambda point: (point.gmacs, -_accuracy(point)))
    limit = target.gflops if target.ms is None else target.ms
    assert limit is not None
    unit = "GFLOPs" if target.ms is None else "ms"
    meeting = [point for point in points if _cost(point, target) <= limit]
    if not meeting:
        least = min(_cost(point, target) for point in points)
        raise UsageError(f"{source.run}: no policy takes {limit:g} {unit} or less", f"the minimum is {least:.4g}")
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
            f"{labeled} videos are too few to guarantee {claim}",
            f"the test needs at least {needed}, a quarter of the trace: {4 * needed} in total",
        )
    front = [point for point in mark_front(_points(ordering, groups, points, listener)) if point.pareto]
    front.sort(key=lambda point: -point.gmacs)
    policies = [policy_of(point.policy, source.run) for point in front]
    safe = largest_safe((_losses(testing.trace, policy) for policy in policies), epsilon, target.delta)
    if not safe:
        raise CheckError(
            f"{labeled} videos do not establish {claim} for any policy with early exits",
            "allow a larger drop, or record more videos",
        )
    (point,) = evaluate(source, [Candidate(front[safe - 1].family, policies[safe - 1], front[safe - 1].searched)])
    return point, labeled


def _losses(trace: Trace, policy: Policy) -> NDArray[np.float64]:
    """Return, per labeled video, 1 if only all steps are right, -1 if only the policy is right, else 0."""
    steps = exit_steps(policy, trace)
    full, early = trace.hits[-1], trace.hits[steps - 1, np.arange(len(steps))]
    losses: NDArray[np.float64] = (full.astype(np.float64) - early)[trace.labeled]
    return losses


def _drop(trace: Trace, policy: Policy) -> Drop | None:
    losses = 100 * _losses(trace, policy)
    return Drop(float(losses.mean()), bootstrap_interval(losses)) if len(losses) else None
