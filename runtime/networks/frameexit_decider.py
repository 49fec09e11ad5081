"""Evaluate the exit policy: run the gates and classifiers that it needs at a step, and decide which clips exit.

Evaluation has two phases, so that other work can run in between: `ExitDecider.launch` starts the gates and classifiers
that the policy needs, and `PendingDecision.resolve` waits for their values and decides. A classifier needed only for
the prediction runs after the decision. With ``eager_classifier`` it is launched together with the gate, so an exiting
clip never waits for work queued after the gate; the cost is classifier calls whose logits go unused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ...errors import VbenchError
from ..bundle.manifest import Output
from ..policies.base import Evidence, Policy
from ..policies.confidence import confidence_and_entropy
from ..scheduler.decision import ClipHistory, StepDecision
from ..scheduler.finite import features_error
from ..scheduler.program import StepRequest
from ..scheduler.results import Logits, State
from .family import StepSpec
from .frameexit_buffers import SlotBuffers


class GateSuffixes(NamedTuple):
    """Name suffixes of the gate parts: of the policy's set, and of the sets that are only recorded, by set name."""

    used: str = ""
    recorded: Mapping[str, str] = MappingProxyType({})


class ExitDecider:
    """Uses ``policy`` to decide which clips in ``buffers`` exit; ``costs`` has one entry per step, from step 1 on."""

    def __init__(
        self,
        buffers: SlotBuffers,
        costs: Sequence[StepSpec],
        policy: Policy,
        suffixes: GateSuffixes,
        output: Output,
        *,
        eager_classifier: bool,
    ) -> None:
        self.buffers, self.costs, self.policy, self.output = buffers, costs, policy, output
        self._suffixes = suffixes
        self.last_step = len(costs)
        self._eager_classifier = eager_classifier

    def launch(self, requests: Sequence[StepRequest]) -> PendingDecision:
        """Launch the gates and classifiers that the policy needs for these slots at their steps."""
        steps = {request.slot: request.step for request in requests}
        gate_steps = {slot: step for slot, step in steps.items() if self._needs_gate(step)}
        eager = self._eager_classifier
        classifier_steps = {slot: step for slot, step in steps.items() if eager or self.needs_logits(step)}
        overflowed = self.buffers.overflowed_features(steps)
        errors = {slot: features_error(steps[slot], values) for slot, values in overflowed.items()}
        gates = self.buffers.gates(gate_steps, self._suffixes.used)
        other_gates = {name: self.buffers.gates(gate_steps, each) for name, each in self._suffixes.recorded.items()}
        logits = self.buffers.logits(classifier_steps)
        states = self.buffers.states(steps) if self.policy.records_states else dict
        by_slot = {request.slot: request for request in requests}
        return PendingDecision(self, by_slot, gates, other_gates, logits, states, errors)

    def needs_logits(self, step: int) -> bool:
        """Return whether a step always needs logits: either the policy compares them, or it is the last step."""
        return step == self.last_step or self.policy.needs_logits(step)

    def _needs_gate(self, step: int) -> bool:
        return 1 < step < self.last_step and self.policy.needs_gate(step)


@dataclass(frozen=True)
class PendingDecision:
    """Requests whose gates and classifiers have been launched, and functions that wait for their values.

    ``other_gates`` waits for the gates of the sets that are only recorded, by set name. ``errors`` contains an error
    for each slot whose features are not finite.
    """

    decider: ExitDecider
    requests: Mapping[int, StepRequest]
    gates: Callable[[], dict[int, float]]
    other_gates: Mapping[str, Callable[[], dict[int, float]]]
    logits: Callable[[], dict[int, Logits]]
    states: Callable[[], dict[int, State]]
    errors: Mapping[int, VbenchError]

    def resolve(self) -> dict[int, StepDecision]:
        """Wait for the values and decide for each slot whether its clip exits.

        Unless ``eager_classifier`` is set, the states must not have changed since the launch.
        """
        gates, logits, states = self.gates(), self.logits(), self.states()
        other_gates = {name: values() for name, values in self.other_gates.items()}
        evidence = {
            slot: self._evidence(request.history, request.step, gates.get(slot), logits.get(slot))
            for slot, request in self.requests.items()
            if request.step < self.decider.last_step
        }
        policy = self.decider.policy
        ending = {
            slot: request.step
            for slot, request in self.requests.items()
            if slot in self.errors or slot not in evidence or policy.exits(evidence[slot])
        }
        missing = {slot: step for slot, step in ending.items() if slot not in logits}
        if missing:
            logits |= self.decider.buffers.logits(missing)()
        return {
            slot: self._decision(
                request,
                slot in ending,
                gates.get(slot),
                {name: values[slot] for name, values in other_gates.items() if slot in values},
                logits.get(slot),
                evidence.get(slot),
                states.get(slot),
            )
            for slot, request in self.requests.items()
        }

    def _evidence(self, history: ClipHistory, step: int, gate: float | None, logits: Logits | None) -> Evidence:
        if logits is None or not self.decider.needs_logits(step):
            return Evidence(step, gate, video=history.name)
        confidence, entropy = confidence_and_entropy(logits, self.decider.output)
        history.labels += (int(logits.argmax()),)
        return Evidence(step, gate, confidence, entropy, history.labels, history.name)

    def _decision(
        self,
        request: StepRequest,
        ends: bool,
        gate: float | None,
        other_gates: dict[str, float],
        logits: Logits | None,
        evidence: Evidence | None,
        state: State | None,
    ) -> StepDecision:
        slot, step, _ = request
        cost = self.decider.costs[step - 1]
        classifier = 0 if logits is None else cost.classifier_macs
        used = ends or self.decider.needs_logits(step)
        gates = 1 + len(other_gates)
        return StepDecision(
            ends=ends,
            gate=gate,
            logits=logits if used else None,
            score=None if evidence is None else _score(evidence),
            macs=cost.macs + (0 if gate is None else gates * cost.gate_macs) + (classifier if used else 0),
            macs_wasted=0 if used else classifier,
            state=state,
            other_gates=other_gates,
            error=self.errors.get(slot),
        )


def _score(evidence: Evidence) -> float | None:
    value = evidence.confidence if evidence.gate is None else evidence.gate
    return None if value is None else float(value)
