"""Words for the decision of a policy: what was compared with what, in numbers that a person can check."""

from __future__ import annotations

from .base import StepExplanation

_FEWEST_DIGITS, _MOST_DIGITS = 2, 6


def explain_above(name: str, value: object, threshold: float, *, ends: bool) -> StepExplanation:
    """Explain a rule that ends a clip where ``value`` is strictly above ``threshold``; ``ends`` says if it did."""
    return _explain_comparison(name, value, threshold, ends, ">" if ends else "≤")


def explain_below(name: str, value: object, threshold: float, *, ends: bool) -> StepExplanation:
    """Explain a rule that ends a clip where ``value`` is strictly below ``threshold``; ``ends`` says if it did."""
    return _explain_comparison(name, value, threshold, ends, "<" if ends else "≥")


def _explain_comparison(name: str, value: object, threshold: float, ends: bool, sign: str) -> StepExplanation:
    if not isinstance(value, float):
        return StepExplanation(ends, f"no {name}")
    if value != value:  # a NaN is on neither side
        return StepExplanation(ends, f"{name} is no number", value, threshold)
    return StepExplanation(
        ends, f"{name} {_distinguishable(value, threshold)} {sign} {threshold:.4g}", value, threshold
    )


def _distinguishable(value: float, threshold: float) -> str:
    """Format a value with as many digits as show on which side of the threshold it lies."""
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS):
        shown = float(f"{value:.{digits}f}")
        if (shown > threshold) == (value > threshold) and (shown < threshold) == (value < threshold):
            return f"{value:.{digits}f}"
    return f"{value:.{_MOST_DIGITS}f}"
