"""Messages that explain a policy's decision in terms of the numbers it compared."""

from __future__ import annotations

from .base import StepExplanation

_FEWEST_DIGITS, _MOST_DIGITS = 2, 6


def explain_above(name: str, value: object, threshold: float, *, ends: bool) -> StepExplanation:
    """Explain a rule that ends a clip if ``value`` is strictly above ``threshold``; ``ends`` is its decision."""
    return _explain_comparison(name, value, threshold, ends, ">" if ends else "≤")


def explain_below(name: str, value: object, threshold: float, *, ends: bool) -> StepExplanation:
    """Explain a rule that ends a clip if ``value`` is strictly below ``threshold``; ``ends`` is its decision."""
    return _explain_comparison(name, value, threshold, ends, "<" if ends else "≥")


def _explain_comparison(name: str, value: object, threshold: float, ends: bool, sign: str) -> StepExplanation:
    if not isinstance(value, float):
        return StepExplanation(ends, f"no {name}")
    if value != value:  # NaN
        return StepExplanation(ends, f"{name} is not a number", value, threshold)
    return StepExplanation(
        ends, f"{name} {_distinguishable(value, threshold)} {sign} {threshold:.4g}", value, threshold
    )


def _distinguishable(value: float, threshold: float) -> str:
    """Format a value with enough digits to distinguish it from the threshold."""
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS):
        shown = float(f"{value:.{digits}f}")
        if (shown > threshold) == (value > threshold) and (shown < threshold) == (value < threshold):
            return f"{value:.{digits}f}"
    return f"{value:.{_MOST_DIGITS}f}"
