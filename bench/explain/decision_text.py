"""What an exit policy said of a step, in words and numbers that a person can check."""

from __future__ import annotations

from typing import NamedTuple

from ...runtime.policies.base import Evidence, FrameExitPolicy, Policy
from ...runtime.policies.rules import Confidence, Entropy, Fixed, Patience, Planned, Random, draw

_FEWEST_DIGITS, _MOST_DIGITS = 2, 6


class Ruling(NamedTuple):
    """Why a clip ended at a step, or went on.

    Attributes:
        ends: the policy ends the clip here.
        text: what it looked at, such as ``gate 0.83 > 0.5``; the last step asks nothing and ends.
        value, threshold: what was compared with what, None where the rule compares no numbers.
    """

    ends: bool
    text: str
    value: float | None = None
    threshold: float | None = None


LAST = Ruling(ends=True, text="last frame")


def ruling(policy: Policy, evidence: Evidence) -> Ruling:
    """Ask a policy about one clip, and put its answer into words."""
    ends = bool(policy.exits(evidence))
    if isinstance(policy, FrameExitPolicy):
        name, value = ("confidence", evidence.confidence) if evidence.step == 1 else ("gate", evidence.gate)
        return _above(name, value, policy.threshold(evidence.step), ends)
    if isinstance(policy, Confidence):
        return _above("confidence", evidence.confidence, policy.threshold, ends)
    if isinstance(policy, Entropy):
        return _compared("entropy", evidence.entropy, policy.threshold, ends, "<" if ends else "≥")
    if isinstance(policy, Random):
        drawn = draw(policy.seed, str(evidence.video))
        return _compared("draw", drawn, sum(policy.shares[: evidence.step]), ends, "<" if ends else "≥")
    return Ruling(ends, _counted(policy, evidence))


def _counted(policy: Policy, evidence: Evidence) -> str:
    if isinstance(policy, Patience):
        return f"same answer {_in_a_row(evidence)} of {policy.times}"
    if isinstance(policy, Fixed):
        return f"step {evidence.step} of {policy.steps}"
    if isinstance(policy, Planned):
        planned = policy.steps.get(str(evidence.video))
        return "no step planned" if planned is None else f"step {evidence.step}, planned {planned}"
    return str(policy.record()["kind"])


def _in_a_row(evidence: Evidence) -> int:
    """Return how often the last answer has come without a break."""
    last = list(evidence.labels[::-1])
    return next((count for count, label in enumerate(last) if label != last[0]), len(last))


def _above(name: str, value: object, threshold: float, ends: bool) -> Ruling:
    return _compared(name, value, threshold, ends, ">" if ends else "≤")


def _compared(name: str, value: object, threshold: float, ends: bool, sign: str) -> Ruling:
    if not isinstance(value, float):
        return Ruling(ends, f"no {name}")
    if value != value:  # a NaN is on neither side
        return Ruling(ends, f"{name} is no number", value, threshold)
    return Ruling(ends, f"{name} {_apart(value, threshold)} {sign} {threshold:.4g}", value, threshold)


def _apart(value: float, threshold: float) -> str:
    """Spell a value with as many digits as show on which side of the threshold it lies."""
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS):
        shown = float(f"{value:.{digits}f}")
        if (shown > threshold) == (value > threshold) and (shown < threshold) == (value < threshold):
            return f"{value:.{digits}f}"
    return f"{value:.{_MOST_DIGITS}f}"
