"""Decision records: the clip history that a policy sees, and the result of one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import VbenchError
from .results import Logits, State


@dataclass
class ClipHistory:
    """A clip as a policy sees it: its name, and the most probable class at every step whose logits were used."""

    name: str
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class StepDecision:
    """Result of one step.

    Attributes:
        ends: whether the clip ends here, with ``logits`` as its prediction.
        gate: value of the step's gate, if it ran.
        logits: float32 ``[classes]``, if the policy used them or the clip ends.
        score: gate value, or confidence where there is no gate; None at the last step, which needs no decision.
        macs: multiply-accumulates of every part that ran for the step.
        macs_wasted: multiply-accumulates of a classifier whose logits went unused.
        state: the state after the step, if the policy records states.
        other_gates: values of the step's gate in the other gate sets, by set name, if the policy records them.
        views: number of clips that the step read from the video, in networks that average over several.
        error: the error that ends the clip here, without a prediction; None if there is none.
    """

    ends: bool
    gate: float | None
    logits: Logits | None
    score: float | None
    macs: int
    macs_wasted: int = 0
    state: State | None = None
    other_gates: Mapping[str, float] = field(default_factory=dict)
    views: int = 1
    error: VbenchError | None = None
