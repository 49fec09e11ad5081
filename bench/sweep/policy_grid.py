"""The policies that a sweep replays: those of the registry that the network's family accepts, group by group."""

from __future__ import annotations

from ...errors import UsageError
from ...runtime.families import FAMILIES
from ...runtime.policies.base import Candidate, Grid
from ...runtime.policies.registry import grids_for
from ..trace.trace import Trace

DEFAULT = "default"  # the group of the policy that a run follows by default


def candidates(trace: Trace, groups: tuple[str, ...] | None, points: int) -> list[Candidate]:
    """Return the policies of the groups (None: all that fit the network), about ``points`` of each with thresholds.

    The first is the default policy, whatever the groups.

    Raises:
        UsageError: there is no such group for this network, or fewer than one point is wanted.
    """
    if points < 1:
        raise UsageError(f"{points} points are none", "give --points 1 or more")
    known = _grids(trace)
    for group in groups or ():
        if group not in known:
            raise UsageError(f"no policies {group!r} for {trace.header.bundle}", f"choose of {', '.join(known)}")
    default = Candidate(DEFAULT, trace.default_policy)
    return [default, *(found for group in groups or known for found in known[group](trace, points))]


def full_policy(trace: Trace) -> Candidate:
    """Return the policy without any early exit."""
    return Candidate("fixed", FAMILIES.get(trace.header.family).all_steps(trace.frames))


def _grids(trace: Trace) -> dict[str, Grid]:
    return grids_for(FAMILIES.get(trace.header.family))
