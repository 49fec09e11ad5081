"""Texts of figures and pages: numbers with their units, and lists."""

from __future__ import annotations

from collections.abc import Sequence

NONE = "-"
_SPACE = "\N{NO-BREAK SPACE}"


def number_text(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number with its unit, or a dash for none; the two are never parted at the end of a line."""
    return NONE if value is None else f"{value:.{digits}f}" + (f"{_SPACE}{unit}" if unit else "")


def range_text(ends: tuple[float, float] | None, digits: int = 1) -> str:
    """Return both ends of an interval, or a dash for none."""
    return NONE if ends is None else f"{ends[0]:.{digits}f}{_SPACE}to{_SPACE}{ends[1]:.{digits}f}"


def count_text(count: int, what: str) -> str:
    """Return a count and what is counted, in the plural unless it is one."""
    return f"{count}{_SPACE}{what}" if count == 1 else f"{count}{_SPACE}{what}s"


def join_words(items: Sequence[str]) -> str:
    """Join as a sentence does: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
