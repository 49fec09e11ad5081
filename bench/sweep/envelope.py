"""Best results of several gate sets together: each is swept over its thresholds; points are chosen on held-out videos.

The authors' protocol has one point per set, the one that the set was fitted for. All sets with all thresholds reach
more, but the best of thousands of points is partly just the luckiest one. Therefore, the front is chosen on one half of
the videos, and its points are measured on the other half.
"""

from __future__ import annotations

from dataclasses import replace

from ...runtime.policies.base import Candidate
from ...runtime.policies.registry import policy_of
from .held_out import halves
from .operating_points import Point, ReplaySource, evaluate, mark_front
from .policy_grid import candidates

ENVELOPE = "envelope"
GATE_SETS = "gate_sets"
_GROUPS = (GATE_SETS, "gates")
_LEAST_SETS = 2
_SEED = 0


def envelope(source: ReplaySource, points: int) -> list[Point]:
    """Return the envelope of a trace's gate sets in ascending order of cost; [] if it has fewer than two.

    Args:
        points: operating points per gate set.
    """
    trace = source.trace
    if len(trace.header.gate_sets) < _LEAST_SETS or trace.labeled.sum() < _LEAST_SETS:
        return []
    chosen_on, held_out = halves(source, _SEED)
    if not (chosen_on.trace.labeled.any() and held_out.trace.labeled.any()):
        return []
    front = [
        point for point in mark_front(evaluate(chosen_on, candidates(chosen_on.trace, _GROUPS, points))) if point.pareto
    ]
    policies = [Candidate(ENVELOPE, policy_of(point.policy, source.run)) for point in front]
    measured = sorted(evaluate(held_out, policies), key=lambda point: point.gmacs)
    return [replace(point, pareto=False) for point in measured]
