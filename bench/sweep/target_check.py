"""Check a tuned policy against its target on the held-out videos."""

from __future__ import annotations

from typing import NamedTuple

from ...runtime.policies.base import Policy
from ..stats.intervals import Interval, bootstrap_interval
from ..trace.replay import exit_steps
from .accuracy_loss import map_drop, top1_drop
from .operating_points import ReplaySource
from .target import Target


class TargetCheck(NamedTuple):
    """Value, on the held-out videos, of the quantity that the target limits.

    Attributes:
        quantity: name of the quantity, such as ``loss of top-1``.
        unit: unit of ``value``, ``interval`` and ``limit``.
    """

    quantity: str
    unit: str
    value: float
    interval: Interval
    limit: float

    @property
    def exceeded(self) -> bool:
        """Whether the value exceeds the limit, possibly by chance unless the target is also ``missed``."""
        return self.value > self.limit * (1 + 1e-9)

    @property
    def missed(self) -> bool:
        """Whether the whole interval exceeds the limit."""
        return self.exceeded and self.interval.low > self.limit


def check_target(source: ReplaySource, target: Target, policy: Policy) -> TargetCheck | None:
    """Compare the policy with its target over the videos of ``source``; None for a drop if no videos are labeled.

    A drop is the paired difference in accuracy relative to running all steps, in the trace's metric, or in top-1 if the
    target has a guarantee, because the guarantee is for top-1. Costs are means over videos.
    """
    if target.max_drop is None:
        costs = target.cost_at_exit(source, policy)[exit_steps(policy, source.trace) - 1]
        name = "mean latency" if target.ms is not None else "mean compute"
        return TargetCheck(name, target.unit, float(costs.mean()), bootstrap_interval(costs), target.limit)
    in_map = source.trace.header.metric == "map" and target.delta is None
    drop = (map_drop if in_map else top1_drop)(source.trace, policy)
    if drop is None:
        return None
    return TargetCheck(f"loss of {'mAP' if in_map else 'top-1'}", target.unit, *drop, target.limit)
