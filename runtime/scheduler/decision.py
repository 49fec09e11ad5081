"""Records of a decision: the clip history that a policy sees, and the result of one step."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import VbenchError
from .results import Logits


@dataclass
class ClipHistory:
    """A clip as a policy sees it: its name, and the most probable class of every step whose logits were used."""

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
        macs_wasted: multiply-accumulates of a classifier whose logits were not used.
        error: the reason why the clip ends here without a prediction, if it failed.
    """

    ends: bool
    gate: float | None
    logits: Logits | None
    score: float | None
    macs: int
    macs_wasted: int = 0
    error: VbenchError | None = None
