"""Ask a policy whether clips end: run what it wants to see of a step, and make a verdict of it.

Asking is in two halves, so that something else can be computed between them: `Judge.hear` starts the gates and
classifiers that the policy wants, `Judge.settle` waits for their values and decides. A classifier that is wanted for
the answer alone runs when the decision has fallen. With ``sure`` it runs with the gate instead, whatever the decision
will be: then an answer waits for nothing that was put behind the gate, and classifiers run in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..bundle.manifest import FrameExitManifest
from ..policies.base import Evidence, Policy
from .frameexit_buffers import Logits, Slots, Steps, classifier_part, gate_part
from .prediction import certainty


@dataclass
class Case:
    """A clip as a policy knows it: its name, and its most probable class after every step that the policy looked at."""

    name: str
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a step came to.

    Attributes:
        ends: the clip has its answer, which ``logits`` then are.
        gate: value of the step's gate, where it ran.
        logits: float32 ``[classes]``, where the policy looked at them or the clip ends.
        score: gate value, or confidence where there is no gate; None at the last step, which asks nothing.
        macs: multiply-accumulates of the gate and the classifier.
        macs_in_vain: those of a classifier whose logits nobody wanted in the end.
    """

    ends: bool
    gate: float | None
    logits: Logits | None
    score: float | None
    macs: int
    macs_in_vain: int = 0


@dataclass(frozen=True)
class Hearing:
    """Slots whose gates and classifiers have been started: their cases, steps, and the values to wait for."""

    cases: Mapping[int, Case]
    steps: Steps
    gates: Callable[[], dict[int, float]]
    logits: Callable[[], dict[int, Logits]]


class Judge:
    """Decides for the clips in ``slots`` by ``policy``."""

    def __init__(self, slots: Slots, manifest: FrameExitManifest, policy: Policy, *, sure: bool) -> None:
        self._slots, self._manifest, self._policy, self._sure = slots, manifest, policy, sure

    def hear(self, cases: Mapping[int, Case], steps: Steps) -> Hearing:
        """Start what is needed to decide about these slots, each at its step."""
        last = self._manifest.frames
        gated = {slot: step for slot, step in steps.items() if 1 < step < last and self._policy.needs_gate(step)}
        seen = steps if self._sure else {slot: step for slot, step in steps.items() if self._wanted(step)}
        return Hearing(cases, steps, self._slots.gates(gated), self._slots.logits(seen))

    def settle(self, hearing: Hearing) -> dict[int, Verdict]:
        """Wait for the values and decide about each slot.

        Without ``sure``, the states must still be those of the hearing.
        """
        gates, logits = hearing.gates(), hearing.logits()
        evidence = {
            slot: self._evidence(hearing.cases[slot], step, gates.get(slot), logits.get(slot))
            for slot, step in hearing.steps.items()
            if step < self._manifest.frames
        }
        ending = {
            slot: step
            for slot, step in hearing.steps.items()
            if slot not in evidence or self._policy.exits(evidence[slot])
        }
        logits |= self._slots.logits({slot: step for slot, step in ending.items() if slot not in logits})()
        return {
            slot: self._verdict(step, slot in ending, gates.get(slot), logits.get(slot), evidence.get(slot))
            for slot, step in hearing.steps.items()
        }

    def _wanted(self, step: int) -> bool:
        """Say whether the logits of a step are wanted whatever the decision."""
        return step == self._manifest.frames or self._policy.needs_logits(step)

    def _evidence(self, case: Case, step: int, gate: float | None, logits: Logits | None) -> Evidence:
        if logits is None or not self._wanted(step):
            return Evidence(step, gate, video=case.name)
        confidence, entropy = certainty(logits)
        case.labels += (int(logits.argmax()),)
        return Evidence(step, gate, confidence, entropy, case.labels, case.name)

    def _verdict(
        self, step: int, ends: bool, gate: float | None, logits: Logits | None, evidence: Evidence | None
    ) -> Verdict:
        parts = self._manifest.parts
        classifier = 0 if logits is None else parts[classifier_part(step)].macs
        wanted = ends or self._wanted(step)
        return Verdict(
            ends=ends,
            gate=gate,
            logits=logits if wanted else None,
            score=None if evidence is None else _score(evidence),
            macs=(0 if gate is None else parts[gate_part(step)].macs) + (classifier if wanted else 0),
            macs_in_vain=0 if wanted else classifier,
        )


def _score(evidence: Evidence) -> float | None:
    found = evidence.confidence if evidence.gate is None else evidence.gate
    return None if found is None else float(found)
