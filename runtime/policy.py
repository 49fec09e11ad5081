"""When to stop looking: exit policies.

A policy is a small pure object: it says what evidence a step needs and whether that evidence ends the clip. The runtime
computes no more than what is asked for; the last step always ends and asks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import UsageError


@dataclass(frozen=True)
class Evidence:
    """What is known after a step (1-based): gate value (high = exit) and top softmax probability, where asked for."""

    step: int
    gate: float | None = None
    confidence: float | None = None

    @property
    def score(self) -> float | None:
        """The gate value; where there is no gate, the confidence."""
        return self.confidence if self.gate is None else self.gate


class Policy(Protocol):
    """Decides after each step but the last."""

    def needs_confidence(self, step: int) -> bool:
        """Say whether the classifier of this step has to run before the decision."""
        ...

    def needs_gate(self, step: int) -> bool:
        """Say whether the gate of this step has to run; the first step has none."""
        ...

    def exits(self, evidence: Evidence) -> bool:
        """Say whether the clip ends here."""
        ...


@dataclass(frozen=True)
class FrameExitPolicy:
    """The authors' rule: strictly above ``first_threshold`` at step 1, then gates strictly above their threshold.

    ``gate_thresholds`` holds one threshold for all gates, or one each for the steps 2, 3, ... that have a gate. A NaN
    never exits, as in the original.
    """

    first_threshold: float
    gate_thresholds: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        for name, value in (
            ("first threshold", self.first_threshold),
            *(("gate threshold", gate) for gate in self.gate_thresholds),
        ):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} {value} is outside [0, 1]", "give a probability")
        if not self.gate_thresholds:
            raise UsageError("no gate threshold given", "give one for all gates, or one for each")

    def needs_confidence(self, step: int) -> bool:
        """Only the first step looks at the softmax."""
        return step == 1

    def needs_gate(self, step: int) -> bool:
        """Every later step looks at its gate."""
        return step > 1

    def exits(self, evidence: Evidence) -> bool:
        """Compare strictly, so that a value equal to its threshold goes on."""
        if evidence.step == 1:
            return evidence.confidence is not None and evidence.confidence > self.threshold(1)
        return evidence.gate is not None and evidence.gate > self.threshold(evidence.step)

    def threshold(self, step: int) -> float:
        """Return what the confidence (step 1) or the gate value of a step (1-based, not the last) has to exceed."""
        if step == 1:
            return self.first_threshold
        return self.gate_thresholds[0] if len(self.gate_thresholds) == 1 else self.gate_thresholds[step - 2]

    def check_frames(self, frames: int) -> None:
        """Raise UsageError unless the thresholds fit a network of ``frames`` steps."""
        gates = max(frames - 2, 0)
        if len(self.gate_thresholds) not in (1, gates):
            raise UsageError(
                f"{len(self.gate_thresholds)} gate thresholds for {gates} gates", f"give 1, or {gates} joined by commas"
            )


def frameexit_policy(first_threshold: float, gate_threshold: float | Sequence[float]) -> FrameExitPolicy:
    """Build the authors' rule from one gate threshold or one per gate."""
    gates = (gate_threshold,) if isinstance(gate_threshold, (int, float)) else tuple(gate_threshold)
    return FrameExitPolicy(first_threshold, gates)
