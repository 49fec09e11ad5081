"""Choose an exit policy for a target and report its held-out performance.

Thresholds are chosen on one half of the videos and reported on the other: the best of thousands of candidates is
optimistically biased. With a ``delta``, the accuracy drop is guaranteed by Learn-then-Test along a Pareto front
(Angelopoulos et al. 2021; Laufer-Goldshtein et al. 2023): the first half is split again; one quarter orders the
candidates, the other tests them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import CheckError, UsageError
from ...runtime.policies.base import Candidate, Policy
from ...runtime.policies.registry import policy_of
from ..datasets import Metric
from .accuracy_loss import Drop, map_drop, top1_drop, top1_losses
from .held_out import halves
from .operating_points import Listener, Point, ReplaySource, evaluate, mark_front
from .policy_grid import DEFAULT, full_policy
from .risk_bound import largest_safe, videos_needed
from .selection import choose, eligible, labeled_points, subset
from .target import Target
from .target_check import TargetCheck, check_target

_LEAST = 2  # labeled videos per half, and classes: with just one, every policy is right on all videos or wrong on all


@dataclass(frozen=True)
class TuneResult:
    """A chosen policy.

    Attributes:
        calibration: operating point on the videos it was chosen on; ``held_out`` is the one on the other videos.
        all_steps: operating point of the full policy on the held-out videos; ``default`` is the default policy's.
        drop: drop on the held-out videos, in top-1 (Hit@1), or in mAP for tags in categories; None if there are no
            labels.
        tested: number of videos that the guarantee rests on; None if there is no guarantee.
        check: comparison of the held-out result with the target; None if the target is a drop and no videos are
            labeled.
    """

    policy: Policy
    calibration: Point
    held_out: Point
    all_steps: Point
    default: Point
    drop: Drop | None
    tested: int | None
    check: TargetCheck | None
    drop_metric: Metric = "top1"

    @property
    def runs_all_steps(self) -> bool:
        """Whether the chosen policy has no early exits."""
        return self.policy == policy_of(self.all_steps.policy, self.all_steps.run)


def tune(
    source: ReplaySource,
    target: Target,
    groups: tuple[str, ...] | None = None,
    points: int = 1000,
    seed: int = 0,
    listener: Listener = lambda _done, _total: None,
) -> TuneResult:
    """Choose the best policy that meets ``target``: the cheapest one if it limits a drop, else the most accurate.

    Raises:
        UsageError: no policy meets it on the calibration half, there is no such group, or the trace has too few labeled
            videos or classes.
        CheckError: there are too few videos for a guarantee, or they do not support one; or all predictions are wrong.
    """
    of_tags = source.trace.tag_labels is not None
    if target.delta is not None and of_tags:
        raise UsageError(
            f"--delta limits the loss of top-1, which is not defined for the tags of {source.trace.header.dataset}",
            "omit --delta: the loss of mAP is then checked on the held-out videos",
        )
    chosen_on, held_out = _halves(source, seed)
    if target.delta is None:
        point, tested = choose(chosen_on, target, groups, points, listener), None
    else:
        point, tested = _best_with_guarantee(chosen_on, target, groups, points, listener)
    policy = policy_of(point.policy, source.run)
    default = Candidate(DEFAULT, held_out.trace.default_policy)
    candidate = Candidate(point.family, policy, point.searched)
    reported, all_steps, by_default = evaluate(held_out, [candidate, full_policy(held_out.trace), default])
    _require_right(reported, source.run, "the chosen policy")
    drop = (map_drop if of_tags else top1_drop)(held_out.trace, policy)
    check = check_target(held_out, target, policy)
    metric: Metric = "map" if of_tags else "top1"
    return TuneResult(policy, point, reported, all_steps, by_default, drop, tested, check, metric)


def _halves(source: ReplaySource, seed: int) -> tuple[ReplaySource, ReplaySource]:
    """Return a random half of the videos to choose a policy on, and the other half to report on."""
    trace, run = source.trace, source.run
    found = halves(source, seed)
    labeled = int(trace.labeled.sum())
    if not labeled:
        raise UsageError(f"{run} has no labeled videos", "record a data set with labels")
    classes = {label for labels in trace.labels for label in labels or ()}
    if len(classes) < _LEAST:
        raise UsageError(
            f"{run}: the labeled videos are all of one class", f"record a run over videos of at least {_LEAST} classes"
        )
    fewest = min(int(half.trace.labeled.sum()) for half in found)
    if fewest < _LEAST:
        raise UsageError(
            f"{run} has {labeled} labeled videos, but only {fewest} in one of the two halves",
            f"record at least {2 * _LEAST} labeled videos, {_LEAST} for each half, or choose another --seed",
        )
    for half in found:
        (point,) = evaluate(half, [full_policy(half.trace)])
        _require_right(point, run, "the network with all frames")
    return found


def _require_right(point: Point, run: str, what: str) -> None:
    if point.accuracy == 0:
        raise CheckError(
            f"{run}: {what} is wrong on all labeled videos in one half of the run ({sum(point.exits)} videos)",
            "check that the labels and the order of the classes match the checkpoint, or record more videos",
        )


def _best_with_guarantee(
    source: ReplaySource, target: Target, groups: tuple[str, ...] | None, points: int, listener: Listener
) -> tuple[Point, int]:
    assert target.max_drop is not None
    assert target.delta is not None
    places = np.arange(len(source.trace.videos))
    ordering, testing = (subset(source, chosen) for chosen in (places[::2], places[1::2]))
    labeled, epsilon = int(testing.trace.labeled.sum()), target.max_drop / 100
    claim = f"a drop of at most {target.max_drop:g} points with probability {1 - target.delta:g}"
    needed = videos_needed(epsilon, target.delta)
    if labeled < needed:
        raise CheckError(
            f"{labeled} videos are too few to guarantee {claim}",
            f"record at least {4 * needed} labeled videos, because the test uses a quarter of them and needs {needed}",
        )
    tried = labeled_points(ordering, eligible(ordering.trace, groups, points), listener)
    front = [point for point in mark_front(tried) if point.pareto and point.accuracy]
    front.sort(key=lambda point: -point.gmacs)
    policies = [policy_of(point.policy, source.run) for point in front]
    safe = largest_safe((top1_losses(testing.trace, policy) for policy in policies), epsilon, target.delta)
    if not safe:
        raise CheckError(
            f"cannot guarantee {claim} for any policy with early exits, based on {labeled} videos",
            "allow a larger drop, or record a run over more videos",
        )
    (point,) = evaluate(source, [Candidate(front[safe - 1].family, policies[safe - 1], front[safe - 1].searched)])
    return point, labeled
