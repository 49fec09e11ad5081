"""Text formatting for figures and pages: numbers with units, and lists."""

from __future__ import annotations

from collections.abc import Sequence

NONE = "-"
_SPACE = "\N{NO-BREAK SPACE}"


def number_text(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number with its unit, joined by a no-break space, or a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}" + (f"{_SPACE}{unit}" if unit else "")


def range_text(ends: tuple[float, float] | None, digits: int = 1) -> str:
    """Return an interval as "low to high", or a dash for None."""
    return NONE if ends is None else f"{ends[0]:.{digits}f}{_SPACE}to{_SPACE}{ends[1]:.{digits}f}"


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun, pluralized unless the count is 1."""
    return f"{count}{_SPACE}{noun}" if count == 1 else f"{count}{_SPACE}{noun}s"


def join_words(items: Sequence[str]) -> str:
    """Join items as in a sentence: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
