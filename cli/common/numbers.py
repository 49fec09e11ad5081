"""Numbers that come joined by commas."""

from __future__ import annotations

from ...errors import UsageError


def thresholds(text: str) -> tuple[float, ...]:
    """Return the gate thresholds that were given.

    Raises:
        UsageError: one of them is no number.
    """
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--gate-threshold {text}: not a number", "give one, or one each joined by commas") from None


def frame_counts(text: str) -> tuple[int, ...]:
    """Return the frame counts that were given.

    Raises:
        UsageError: one of them is no whole number.
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--frames {text}: not a whole number", "give one, or several joined by commas") from None
