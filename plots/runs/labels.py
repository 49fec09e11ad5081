"""How a run's exit policy is spelt in a figure: briefly, because titles and legends have little room."""

from __future__ import annotations

from collections.abc import Mapping

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
