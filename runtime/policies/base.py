"""When to stop looking: what an exit policy sees and says, and the authors' own rule.

A policy is a small pure object: it says what evidence a step needs and whether that evidence ends the clip. The runtime
computes no more than what is asked for; the last step always ends and asks nothing. The same object replays a recorded
run: evidence then holds arrays, a value for every video, and so does the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Union

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

# One clip's, or an array [videos] of them.
Score = Union[float, NDArray[np.float64]]  # noqa: UP007 - evaluated, and Python 3.10 has no | of these
Label = Union[int, NDArray[np.int64]]  # noqa: UP007
Name = Union[str, Sequence[str]]  # noqa: UP007
Decision = Union[bool, NDArray[np.bool_]]  # noqa: UP007


@dataclass(frozen=True)
class Evidence:
    """What is known after a step, where it was asked for.

    Attributes:
        step: 1-based.
        gate: value of the step's gate, high = exit.
        confidence: top softmax probability.
        entropy: of the softmax, as a share of the largest possible: 0 is sure, 1 knows nothing.
        labels: most probable class after this step and all before it whose classifier ran.
        video: name of the clip, where it has one.
    """

    step: int
    gate: Score | None = None
    confidence: Score | None = None
    entropy: Score | None = None
    labels: tuple[Label, ...] = ()
    video: Name = ""


class Policy(Protocol):
    """Decides after each step but the last."""

    def needs_logits(self, step: int) -> bool:
        """Say whether the classifier of this step has to run before the decision."""
        ...

    def needs_gate(self, step: int) -> bool:
        """Say whether the gate of this step has to run; the first step has none."""
        ...

    def exits(self, evidence: Evidence) -> Decision:
        """Say whether the clip ends here."""
        ...

    def check_steps(self, steps: int) -> None:
        """Raise UsageError unless the policy fits a network of so many steps."""
        ...

    def record(self) -> dict[str, Any]:
        """Return its ``kind`` and its numbers, as the record of a run has them."""
        ...


def fraction(name: str, value: float) -> None:
    """Raise UsageError unless ``value`` lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} {value} is outside [0, 1]", "give a probability")


@dataclass(frozen=True)
class FrameExitPolicy:
    """The authors' rule: strictly above ``first_threshold`` at step 1, then gates strictly above their threshold.

    ``gate_thresholds`` holds one threshold for all gates, or one each for the steps 2, 3, ... that have a gate. A NaN
    never exits, as in the original.
    """

    first_threshold: float
    gate_thresholds: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        fraction("first threshold", self.first_threshold)
        for gate in self.gate_thresholds:
            fraction("gate threshold", gate)
        if not self.gate_thresholds:
            raise UsageError("no gate threshold given", "give one for all gates, or one for each")

    def needs_logits(self, step: int) -> bool:
        """Only the first step looks at the softmax."""
        return step == 1

    def needs_gate(self, step: int) -> bool:
        """Every later step looks at its gate."""
        return step > 1

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly, so that a value equal to its threshold goes on."""
        value = evidence.confidence if evidence.step == 1 else evidence.gate
        return False if value is None else value > self.threshold(evidence.step)

    def threshold(self, step: int) -> float:
        """Return what the confidence (step 1) or the gate value of a step (1-based, not the last) has to exceed."""
        if step == 1:
            return self.first_threshold
        return self.gate_thresholds[0] if len(self.gate_thresholds) == 1 else self.gate_thresholds[step - 2]

    def check_steps(self, steps: int) -> None:
        """See `Policy.check_steps`: one threshold for all gates, or one for each."""
        gates = max(steps - 2, 0)
        if len(self.gate_thresholds) not in (1, gates):
            raise UsageError(
                f"{len(self.gate_thresholds)} gate thresholds for {gates} gates", f"give 1, or {gates} joined by commas"
            )

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {
            "kind": "frameexit",
            "first_threshold": self.first_threshold,
            "gate_thresholds": list(self.gate_thresholds),
        }


def frameexit_policy(first_threshold: float, gate_threshold: float | Sequence[float]) -> FrameExitPolicy:
    """Build the authors' rule from one gate threshold or one per gate."""
    gates = (gate_threshold,) if isinstance(gate_threshold, (int, float)) else tuple(gate_threshold)
    return FrameExitPolicy(first_threshold, gates)
