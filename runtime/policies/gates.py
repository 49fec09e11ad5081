"""The exit rule of the FrameExit authors: the first step's confidence, then the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, ClassVar

import numpy as np

from ...errors import UsageError
from .base import Candidate, Decision, Evidence, Grid, Policy, StepExplanation, SweepTrace, require_fraction
from .explain_text import explain_above
from .grid import DIGITS, FEW_POINTS, quantiles
from .threshold_search import objective, search_thresholds

_MIN_STEPS_WITH_GATE = 3  # the first and the last step have no gate


@dataclass(frozen=True)
class FrameExitPolicy(Policy):
    """The authors' rule: exit at step 1 if the confidence exceeds ``first_threshold``, or later on a high gate value.

    ``gate_thresholds`` has one threshold for all gates, or one for each step with a gate (2, 3, ...). A clip exits only
    if the gate value is strictly above the threshold, and never on NaN, as in the original implementation. ``gate_set``
    names the set of gates; None selects the bundle's default.
    """

    kind: ClassVar[str] = "frameexit"
    not_servable: ClassVar[str] = ""

    first_threshold: float
    gate_thresholds: tuple[float, ...] = (0.5,)
    gate_set: str | None = None

    def __post_init__(self) -> None:
        require_fraction("first threshold", self.first_threshold)
        for gate in self.gate_thresholds:
            require_fraction("gate threshold", gate)
        if not self.gate_thresholds:
            raise UsageError("no gate thresholds were given", "pass one for all gates, or one per gate")

    def needs_logits(self, step: int) -> bool:
        return step == 1

    def needs_gate(self, step: int) -> bool:
        return step > 1

    def exits(self, evidence: Evidence) -> Decision:
        """Return whether the value is above its threshold; an equal value does not exit."""
        value = evidence.confidence if evidence.step == 1 else evidence.gate
        return False if value is None else value > self.threshold_at(evidence.step)

    def threshold_at(self, step: int) -> float:
        """Return the confidence threshold for step 1, or the gate threshold for a later step other than the last."""
        if step == 1:
            return self.first_threshold
        return self.gate_thresholds[0] if len(self.gate_thresholds) == 1 else self.gate_thresholds[step - 2]

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return all steps; there must be one threshold for all gates, or one per gate."""
        gates = max(len(frames) - 2, 0)
        if len(self.gate_thresholds) not in (1, gates):
            raise UsageError(
                f"got {len(self.gate_thresholds)} gate thresholds for a network with {gates} gates",
                f"pass 1 threshold, or {gates} separated by commas",
            )
        return super().route(frames)

    def explain(self, evidence: Evidence) -> StepExplanation:
        name, value = ("confidence", evidence.confidence) if evidence.step == 1 else ("gate", evidence.gate)
        return explain_above(name, value, self.threshold_at(evidence.step), ends=bool(self.exits(evidence)))

    def record(self) -> dict[str, Any]:
        """Return the record, without a gate set if the policy uses the default one."""
        return {name: value for name, value in super().record().items() if name != "gate_set" or value is not None}

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return three grids over all gate sets.

        They use one threshold for all gates, a searched threshold for each gate, or the sets' own thresholds.
        """
        return {"gates": _gates, "searched": _searched, "gate_sets": _gate_sets}


def _gate_sets(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - one candidate for each set
    """Return the policy each set was fitted for: the authors' protocol has one set for each point on the curve."""
    return [Candidate("gate_sets", policy) for name, policy in trace.set_policies.items() if name is not None]


def _gates(trace: SweepTrace, points: int) -> list[Candidate]:
    return [Candidate("gates", policy) for name in trace.set_policies for policy in _pairs(trace, points, name)]


def _pairs(trace: SweepTrace, points: int, gate_set: str | None) -> list[FrameExitPolicy]:
    """Return a policy for every pair of a first threshold and a threshold for all gates."""
    side = max(int(points**0.5), 1)
    firsts = quantiles(trace.confidences[0], side)
    gates = quantiles(trace.gate_values(gate_set)[1:-1], -(-points // len(firsts)))
    return [FrameExitPolicy(first, (gate,), gate_set) for first, gate in product(firsts, gates)]


def _searched(trace: SweepTrace, points: int) -> list[Candidate]:
    if trace.steps < _MIN_STEPS_WITH_GATE:
        return []
    return [candidate for name in trace.set_policies for candidate in _search(trace, points, name)]


def _search(trace: SweepTrace, points: int, gate_set: str | None) -> list[Candidate]:
    """Return policies with a searched threshold for every step, at increasing compute prices.

    Each search starts from the best pair of thresholds or from the previous result, whichever is better, so the result
    is never worse than either.
    """
    pairs = _pairs(trace, points, gate_set)
    tallies = [trace.tally(policy) for policy in pairs]
    scores = np.vstack([trace.confidences[:1], trace.gate_values(gate_set)[1:-1]])
    value = trace.counted_hits.astype(np.float64)
    cost = trace.macs_at_exit(pairs[0]) / 1e9
    right, costs = np.array([each.right for each in tallies]), np.array([each.exits for each in tallies]) @ cost
    start = np.ones(trace.steps - 1)
    candidates = []
    for price in map(float, np.geomspace(1e-3, 1, min(FEW_POINTS, points)) / cost[0]):
        worth = partial(objective, scores, value, cost, price)
        pair = pairs[int((right - price * costs).argmax())]
        begin = max(np.array([pair.threshold_at(step) for step in range(1, trace.steps)]), start, key=worth)
        exact = search_thresholds(scores, value, cost, price, begin)
        start = max(np.round(exact, DIGITS), exact, key=worth)  # prefer the rounded numbers unless they are worse
        first, *gates = start.tolist()
        candidates.append(Candidate("searched", FrameExitPolicy(first, tuple(gates), gate_set), searched=True))
    return list({candidate.policy: candidate for candidate in candidates}.values())
