"""Verdict on the measurement of one contender: VALID, UNSTABLE, or INVALID, each with its reasons.

INVALID means that the figures must not be used: the contender failed, its answers are wrong, or there are too few
repetitions. UNSTABLE means that the machine was disturbed, or that the repetitions differ too much.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ...runtime.telemetry.stability import problems
from ..records.conditions import Validity
from .results import Check, ContenderResult

WIDEST = 0.10
"""Largest half-width of a ratio's interval in a stable measurement, on a logarithmic scale."""
DISTURBED_TURNS = 0.25
"""Largest share of a stable measurement's turns in which the same disturbance may occur."""


class BenchVerdict(NamedTuple):
    """A verdict and its reasons, each one line."""

    name: Validity
    reasons: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """0 for VALID, 1 for UNSTABLE, 2 for INVALID."""
        return ("VALID", "UNSTABLE", "INVALID").index(self.name)


def verdict_on(
    result: ContenderResult, checks: Sequence[Check], changed: int, widest: float | None, min_repeats: int
) -> BenchVerdict:
    """Return the verdict on a contender.

    Args:
        checks: its compliance checks.
        changed: number of answers that differ from the reference's; only exact contenders must have none.
        widest: half-width of the widest interval of its ratios; None if it has no ratios.
    """
    if result.failure:
        return BenchVerdict("INVALID", (result.failure,))
    wrong = list(_wrong(result, checks, changed, min_repeats))
    unstable = list(disturbances(result))
    if wrong:
        return BenchVerdict("INVALID", (*wrong, *unstable))  # a disturbance is often why repetitions are too few
    if widest is not None and widest > WIDEST:
        text = "unknown" if math.isinf(widest) else f"+/- {100 * math.expm1(widest):.0f} %"
        unstable.append(f"the interval of its ratio is {text}, limit {100 * WIDEST:.0f} %")
    return BenchVerdict("UNSTABLE", tuple(unstable)) if unstable else BenchVerdict("VALID")


def disturbances(result: ContenderResult) -> list[str]:
    """Return the machine problems in more than a quarter of the measured turns, each described by its worst turn."""
    turns = list(result.measured.values())
    found = [problem for turn in turns for problem in problems(turn.host, turn.gpu)]
    counts = Counter(problem.signal for problem in found)
    worst = {problem.signal: problem for problem in sorted(found, key=lambda one: one.value)}
    return [
        f"{worst[signal].text} ({count} of {len(turns)} turns)"
        for signal, count in counts.items()
        if count > DISTURBED_TURNS * len(turns)
    ]


def _wrong(result: ContenderResult, checks: Sequence[Check], changed: int, min_repeats: int) -> Sequence[str]:
    found = []
    rows = list(result.first_rows().values())
    errors = [row for row in rows if row.error is not None]
    if errors:
        found.append(f"{len(errors)} of {len(rows)} videos have no answer ({errors[0].video}: {errors[0].error})")
    if result.contender.exact and changed:
        found.append(f"{changed} of {len(rows)} answers differ from the reference's")
    if result.contender.exact:
        found += [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    if len(result.measured) < min_repeats:
        found.append(f"{len(result.measured)} repetitions, fewer than {min_repeats}")
    return found
