"""``NAME:LIMIT``: by how much a quantity may differ between two runs before the comparison fails.

The sign is the direction that fails: ``top1:-0.5`` allows a fall of half a point and any rise. The difference that was
observed decides, not its interval, so that everybody can tell from the table what fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError
from .compare import Comparison
from .metric_deltas import ACCURACIES, COSTS
from .verdict import MetricDelta

NAMES = (*ACCURACIES, *COSTS)
EXAMPLES = "such as top1:-0.5, p99:+5% or p50:+3ms"
_FORM = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(.*)", re.DOTALL)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Threshold:
    """A limit as it was ``given``. ``allowed`` has the sign of ``direction``, -1 or 1, in ``unit``.

    ``unit`` is "points" for accuracies, "%" of the value before, or "ms".
    """

    given: str
    name: str
    direction: int
    allowed: float
    unit: str


@dataclass(frozen=True)
class ThresholdResult:
    """A limit held against two runs: the ``difference`` in its ``unit``, and whether it is beyond the limit."""

    limit: str
    name: str
    difference: float
    unit: str
    failed: bool
    interval_includes_zero: bool


def parse_threshold(given: str) -> Threshold:
    """Read a limit.

    Raises:
        UsageError: its name or unit is unknown, its sign is missing, or it is no number.
    """
    name, _, text = given.partition(":")
    if name not in NAMES:
        raise UsageError(f"--fail-if {given}: there is no quantity {name!r}", f"choose one of {', '.join(NAMES)}")
    form = _FORM.fullmatch(text)
    if form is None:
        raise UsageError(f"--fail-if {given}: not NAME:LIMIT", EXAMPLES)
    sign, number, unit = form.groups()
    if not sign:
        raise UsageError(f"--fail-if {given}: the limit has no sign", "- fails if it falls further, + if it rises")
    known = _units(name)
    if unit not in known:
        listed = " or ".join(f"{name}:{sign}{number}{each}" for each in known)
        raise UsageError(f"--fail-if {given}: {name} has no limit in {unit or 'no unit'!r}", f"write {listed}")
    return Threshold(given, name, -1 if sign == "-" else 1, float(sign + number), unit or "points")


def check_thresholds(limits: Sequence[Threshold], comparison: Comparison) -> tuple[ThresholdResult, ...]:
    """Hold limits against a comparison.

    Raises:
        UsageError: the runs do not have a quantity that a limit is of.
    """
    found = {quantity.name: quantity for quantity in comparison.quantities}
    for limit in limits:
        if limit.name not in found:
            what = f"--fail-if {limit.given}: these runs have no {limit.name}, {comparison.absent[limit.name]}"
            raise UsageError(what, f"they have {', '.join(found)}")
    return tuple(_checked(limit, found[limit.name]) for limit in limits)


def _units(name: str) -> tuple[str, ...]:
    if name in ACCURACIES:
        return ("",)
    return ("%", "ms") if COSTS[name].unit == "ms" else ("%",)


def _checked(limit: Threshold, quantity: MetricDelta) -> ThresholdResult:
    difference = quantity.after - quantity.before if limit.unit == "ms" else quantity.difference
    # a difference that is the limit itself is allowed, whatever the last bit of the subtraction says
    beyond = limit.direction * (difference - limit.allowed) > _ROUNDING * max(1.0, abs(limit.allowed))
    return ThresholdResult(limit.given, limit.name, difference, limit.unit, beyond, quantity.includes_zero)
