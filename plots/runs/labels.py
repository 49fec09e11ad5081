"""Texts of figures and pages: policies in few words, because legends have little room, and numbers with their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NONE = "-"
_SPACE = "\N{NO-BREAK SPACE}"
FLEXIBLE_KINDS = ("frames", "cascade")


def policy_text(policy: object) -> str:
    """Spell a policy, such as ``frameexit first=0.95 gate=0.5``, ``8 frames`` or ``cascade 4, 8, 16 above 0.9``."""
    if not isinstance(policy, Mapping):
        return ""
    if policy.get("kind") in FLEXIBLE_KINDS:
        return _flexible_text(policy)
    given = {key: value for key, value in policy.items() if value is not None and value != []}
    return " ".join(
        str(value) if key == "kind" else f"{key.removesuffix('s').removesuffix('_threshold')}={_brief(value)}"
        for key, value in given.items()
    )


def _brief(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{len(value)} videos"
    if not isinstance(value, list) or not all(isinstance(entry, int | float) for entry in value):
        return str(value)
    low, high = min(value), max(value)
    return str(low) if low == high else f"{low}..{high}"


def _flexible_text(policy: Mapping[str, object]) -> str:
    budget = f", within {policy['budget_ms']:g} ms" if isinstance(policy.get("budget_ms"), int | float) else ""
    if policy["kind"] == "frames":
        return f"{policy.get('frames')} frames{budget}"
    counts = policy.get("counts")
    listed = ", ".join(map(str, counts)) if isinstance(counts, list) else str(counts)
    return f"cascade {listed} above {policy.get('threshold')}{budget}"


def shown(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number with its unit, or a dash for none; the two are never parted at the end of a line."""
    return NONE if value is None else f"{value:.{digits}f}" + (f"{_SPACE}{unit}" if unit else "")


def shown_range(ends: tuple[float, float] | None, digits: int = 1) -> str:
    """Return both ends of an interval, or a dash for none."""
    return NONE if ends is None else f"{ends[0]:.{digits}f}{_SPACE}to{_SPACE}{ends[1]:.{digits}f}"


def shown_count(count: int, what: str) -> str:
    """Return a count and what is counted, in the plural unless it is one."""
    return f"{count}{_SPACE}{what}" if count == 1 else f"{count}{_SPACE}{what}s"


def listed(items: Sequence[str]) -> str:
    """Join as a sentence does: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
