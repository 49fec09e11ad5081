"""Selection of a policy for a target, with a margin for the uncertainty of measurements on few videos.

The best of thousands of candidates is partly just the luckiest one, especially if there are few videos and the
candidates have many parameters. Therefore a margin of standard errors is added to a loss or a cost, and candidates
whose parameters are fitted to labels are fitted on one half of the videos and measured on the other. The default policy
was not fitted to these videos and gets no margin: another policy has to be better by more than its own margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckError, UsageError
from ...runtime.policies.base import Candidate, Policy
from ...runtime.policies.registry import policy_of
from ..trace.trace import Trace
from .accuracy_loss import DropError
from .operating_points import Listener, Point, ReplaySource, evaluate
from .policy_grid import DEFAULT, candidates, full_policy
from .target import Target

MARGIN = 1.645
"""Number of standard errors added to a measured loss or cost, for the upper bound of a one-sided 95 % interval."""
_ROUNDING = 1e-9  # relative; a cost equal to the limit is within it


@dataclass(frozen=True)
class _Measured:
    """A candidate's point and its accuracy loss relative to running all steps, over the videos of ``source``."""

    point: Point
    drop: float
    source: ReplaySource
    errors: DropError
    certain: bool = False

    @property
    def policy(self) -> Policy:
        return policy_of(self.point.policy, self.source.run)

    def drop_bound(self) -> float:
        return self.drop if self.certain else self.drop + MARGIN * self.errors.of(self.policy)

    def cost_bound(self, target: Target) -> float:
        cost = target.cost_at_exit(self.source, self.policy)
        exits = np.asarray(self.point.exits, np.float64)
        shares = exits / exits.sum()
        mean = float(shares @ cost)
        if self.certain:
            return mean
        return mean + MARGIN * float(np.sqrt(shares @ (cost - mean) ** 2 / exits.sum()))


def choose(
    source: ReplaySource, target: Target, groups: tuple[str, ...] | None, points: int, listener: Listener
) -> Point:
    """Return the point of the best policy for ``target``: the cheapest one if it limits a drop, else the most accurate.

    Raises:
        UsageError: no policy meets the target, no videos are labeled, or there is no such group.
        CheckError: every policy that meets the target is wrong on all videos.
    """
    measured = _measure(source, groups, points, listener)
    return (_most_accurate if target.max_drop is None else _cheapest)(measured, target).point


def labeled_points(source: ReplaySource, tried: Sequence[Candidate], listener: Listener) -> list[Point]:
    """Return the points of the full policy and of the candidates, except those without an accuracy.

    Raises:
        UsageError: no videos are labeled.
    """
    found = evaluate(source, [full_policy(source.trace), *tried], listener)
    known = [point for point in found if point.accuracy is not None]
    if not known:
        raise UsageError(f"{source.run} has no labeled videos", "record a data set with labels")
    return known


def eligible(trace: Trace, groups: tuple[str, ...] | None, points: int) -> list[Candidate]:
    """Return the default policy and the candidates of the groups; if ``groups`` is None, exclude baselines.

    Raises:
        UsageError: there is no such group, or it cannot be run.
    """
    found = candidates(trace, groups, points)
    if groups is None:
        return [each for each in found if each.runnable and not each.baseline]
    for each in found:
        if not each.runnable:
            raise UsageError(
                f"the policy group {each.group!r} uses the labels and cannot be run", "choose other policies"
            )
    return found


def subset(source: ReplaySource, chosen: NDArray[np.int64]) -> ReplaySource:
    """Return the source restricted to the videos at the given indices."""
    return replace(source, trace=source.trace.subset(chosen))


def _measure(source: ReplaySource, groups: tuple[str, ...] | None, points: int, listener: Listener) -> list[_Measured]:
    """Measure the candidates; the first one runs all steps."""
    places = np.arange(len(source.trace.videos))
    fitting, testing = (subset(source, chosen) for chosen in (places[::2], places[1::2]))
    tried = eligible(fitting.trace, groups, points)
    whole, fitted = ([each for each in tried if each.searched == searched] for searched in (False, True))
    found = _measured(source, whole, listener)
    return found + (_measured(testing, fitted, listener)[1:] if fitted and testing.trace.labeled.any() else [])


def _measured(source: ReplaySource, tried: Sequence[Candidate], listener: Listener) -> list[_Measured]:
    full, *others = labeled_points(source, tried, listener)
    errors = DropError(source.trace)
    return [
        _Measured(full, 0.0, source, errors, certain=True),
        *(
            _Measured(point, _accuracy(full) - _accuracy(point), source, errors, certain=point.family == DEFAULT)
            for point in others
        ),
    ]


def _cheapest(measured: Sequence[_Measured], target: Target) -> _Measured:
    # Lazily: the margin is computed only for the few candidates that are needed.
    order = sorted(measured, key=lambda each: (each.point.gmacs, each.drop))
    meeting = (
        each
        for each in order
        if each.point.accuracy and each.drop <= target.limit and each.drop_bound() <= target.limit
    )
    return next(meeting, measured[0])


def _most_accurate(measured: Sequence[_Measured], target: Target) -> _Measured:
    costs = [each.cost_bound(target) for each in measured]
    limit = target.limit * (1 + _ROUNDING)
    within = [(each, cost) for each, cost in zip(measured, costs) if cost <= limit]
    if not within:
        raise UsageError(
            f"{measured[0].source.run}: no policy stays within {target.limit:g} {target.unit}",
            f"allow at least {min(costs):.4g}",
        )
    best, best_rank = None, (np.inf, np.inf)
    for each, cost in sorted(within, key=lambda pair: pair[0].drop):
        if each.drop > best_rank[0]:
            break  # a bound is never below the measured loss
        rank = (each.drop_bound(), cost)
        if each.point.accuracy and rank < best_rank:
            best, best_rank = each, rank
    if best is None:
        raise CheckError(
            f"{measured[0].source.run}: every policy within {target.limit:g} {target.unit} is wrong on all "
            "videos used to choose it",
            "allow more compute",
        )
    return best


def _accuracy(point: Point) -> float:
    assert point.accuracy is not None
    return point.accuracy
