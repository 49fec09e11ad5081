"""Policy grid of a sweep: candidates from the registry that the network's family accepts, group by group."""

from __future__ import annotations

from ...errors import UsageError
from ...runtime.families import FAMILIES
from ...runtime.policies.base import Candidate, Grid
from ...runtime.policies.registry import grids_for
from ..trace.trace import Trace

DEFAULT = "default"  # group of the default policy


def candidates(trace: Trace, groups: tuple[str, ...] | None, points: int) -> list[Candidate]:
    """Return the policies of the groups (None: all that apply), about ``points`` per group with thresholds.

    The first is always the default policy.

    Raises:
        UsageError: there is no such group for this network, or ``points`` is below 1.
    """
    if points < 1:
        raise UsageError(f"--points must be >= 1, got {points}")
    known = _grids(trace)
    for group in groups or ():
        if group not in known:
            raise UsageError(
                f"unknown policy group {group!r} for {trace.header.bundle}", f"choose from {', '.join(known)}"
            )
    default = Candidate(DEFAULT, trace.default_policy)
    return [default, *(candidate for group in groups or known for candidate in known[group](trace, points))]


def full_policy(trace: Trace) -> Candidate:
    """Return the policy without early exits."""
    return Candidate("fixed", FAMILIES.get(trace.header.family).all_steps(trace.frames))


def _grids(trace: Trace) -> dict[str, Grid]:
    return grids_for(FAMILIES.get(trace.header.family).accepts)
