"""Times whose difference may be due to the machine: they are neither better nor worse, but UNSTABLE.

Only times depend on machine load; accuracies, frames and MACs do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...runtime.telemetry.stability import OTHER_SHARE
from .metric_deltas import COSTS
from .run_pair import ComparedRun
from .verdict import MetricDelta


def unstable_reasons(before: ComparedRun, after: ComparedRun) -> tuple[str, ...]:
    """Return why the times of two runs cannot be compared; () if they can, or if the conditions are unknown."""
    reasons = [
        f"{name}: {reason}"
        for name, side in (("before", before), ("after", after))
        if side.conditions is not None
        for reason in side.conditions.reasons
    ]
    return tuple(reasons or _different_load(before, after))


def without_unstable_times(deltas: Sequence[MetricDelta]) -> tuple[MetricDelta, ...]:
    """Return the deltas with the verdict UNSTABLE for times that are BETTER or WORSE."""
    return tuple(replace(delta, verdict="UNSTABLE") if _is_decided_time(delta) else delta for delta in deltas)


def is_time(name: str) -> bool:
    """Return whether a metric is a time or is derived from one."""
    return name in COSTS and COSTS[name].column.endswith("_ms")


def _is_decided_time(delta: MetricDelta) -> bool:
    return is_time(delta.name) and delta.verdict in ("BETTER", "WORSE")


def _different_load(before: ComparedRun, after: ComparedRun) -> Iterator[str]:
    """Yield the difference between two loads that left both runs enough CPUs, but not the same clock and caches."""
    shares = [None if side.conditions is None else side.conditions.other_share for side in (before, after)]
    one, other = shares
    if one is not None and other is not None and abs(one - other) > OTHER_SHARE:
        used = f"{100 * one:.0f} % of the CPUs before and {100 * other:.0f} % after"
        yield f"other processes used {used}, limit {100 * OTHER_SHARE:.0f} % difference"
