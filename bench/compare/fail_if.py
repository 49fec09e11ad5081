"""Thresholds ``NAME:LIMIT``: maximum allowed regression of a metric between two runs.

The sign is the direction that fails: ``top1:-0.5`` allows a drop of half a point and any gain. The observed difference
is compared with the limit, not its interval, so that the table alone shows why a threshold failed.

A time beyond its limit that was measured under UNSTABLE conditions does not prove a regression, but must not pass
either: the threshold remains undecided, which also fails, and the result says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError
from .compare import Comparison
from .metric_deltas import ACCURACIES, COSTS
from .unstable import is_time
from .verdict import MetricDelta

NAMES = (*ACCURACIES, *COSTS)
EXAMPLES = "write, for example, top1:-0.5, p99:+5% or p50:+3ms"
_FORM = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(.*)", re.DOTALL)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Threshold:
    """A parsed threshold; ``allowed`` carries the sign of ``direction`` (-1 or 1) and is in ``unit``.

    ``text`` is the original argument. ``unit`` is "points" for accuracies, "%" of the first run's value, or "ms".
    """

    text: str
    name: str
    direction: int
    allowed: float
    unit: str


@dataclass(frozen=True)
class ThresholdResult:
    """Result of one threshold: the ``difference`` between the runs, in its ``unit``, and whether it ``failed``.

    ``unstable`` states whether the metric is a time and the runs' times cannot be compared.
    """

    limit: str
    name: str
    difference: float
    unit: str
    failed: bool
    interval_includes_zero: bool
    unstable: bool = False

    @property
    def undecided(self) -> bool:
        """Whether the time is beyond the limit, but perhaps only because of the load on the machine."""
        return self.failed and self.unstable


def parse_threshold(text: str) -> Threshold:
    """Parse a threshold.

    Raises:
        UsageError: the metric or unit is unknown, the sign is missing, or the limit is not a number.
    """
    name, _, limit = text.partition(":")
    if name not in NAMES:
        raise UsageError(f"--fail-if {text}: unknown metric {name!r}", f"choose one of {', '.join(NAMES)}")
    return parse_limit(text, name, limit, _units(name))


def parse_limit(text: str, name: str, limit: str, units: tuple[str, ...], examples: str = EXAMPLES) -> Threshold:
    """Parse the limit of the metric ``name``, which allows ``units``; ``text`` is the complete argument.

    Raises:
        UsageError: the unit is unknown, the sign is missing, or the limit is not a number.
    """
    form = _FORM.fullmatch(limit)
    if form is None:
        raise UsageError(f"--fail-if {text}: the value is not of the form NAME:LIMIT", examples)
    sign, number, unit = form.groups()
    if not sign:
        raise UsageError(f"--fail-if {text}: the limit has no sign", "write - to fail on a drop, + to fail on a rise")
    if unit not in units:
        listed = " or ".join(f"{name}:{sign}{number}{each}" for each in units)
        raise UsageError(f"--fail-if {text}: {limit!r} is not a valid limit for {name}", f"write {listed}")
    return Threshold(text, name, -1 if sign == "-" else 1, float(sign + number), unit or "points")


def check_thresholds(thresholds: Sequence[Threshold], comparison: Comparison) -> tuple[ThresholdResult, ...]:
    """Check a comparison against thresholds.

    Raises:
        UsageError: the runs lack a metric that has a threshold.
    """
    deltas = {delta.name: delta for delta in comparison.quantities}
    for threshold in thresholds:
        if threshold.name not in deltas:
            why = f"these runs have no {threshold.name} ({comparison.absent[threshold.name]})"
            raise UsageError(f"--fail-if {threshold.text}: {why}", f"choose one of {', '.join(deltas)}")
    unstable = bool(comparison.unstable)
    return tuple(
        check_threshold(threshold, deltas[threshold.name], unstable=unstable and is_time(threshold.name))
        for threshold in thresholds
    )


def _units(name: str) -> tuple[str, ...]:
    if name in ACCURACIES:
        return ("",)
    return ("%", "ms") if COSTS[name].unit == "ms" else ("%",)


def check_threshold(threshold: Threshold, delta: MetricDelta, *, unstable: bool) -> ThresholdResult:
    """Check a delta against a threshold; ``unstable`` states whether it is a time that cannot be compared."""
    difference = delta.after - delta.before if threshold.unit == "ms" else delta.difference
    # A difference equal to the limit is allowed regardless of rounding in the subtraction.
    beyond = threshold.direction * (difference - threshold.allowed) > _ROUNDING * max(1.0, abs(threshold.allowed))
    return ThresholdResult(
        limit=threshold.text,
        name=threshold.name,
        difference=difference,
        unit=threshold.unit,
        failed=beyond,
        interval_includes_zero=delta.includes_zero,
        unstable=unstable,
    )
