"""Thresholds ``CONTENDER/METRIC:LIMIT`` on the differences between two benchmarks, such as `inflight/videos_per_s:-5%`.

CONTENDER is part of a contender's name; the threshold applies to every contender whose name contains it. Baselines over
all frames are included only if it says "all frames".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...errors import UsageError
from .bench_pair import BENCH_METRICS, BenchComparison, ContenderDelta
from .fail_if import Threshold, ThresholdResult, check_threshold, parse_limit

EXAMPLES = "write, for example, inflight/videos_per_s:-5%"
_BASELINE = "all frames"


def parse_bench_threshold(text: str) -> Threshold:
    """Parse a threshold, whose name is ``CONTENDER/METRIC``.

    Raises:
        UsageError: the metric or unit is unknown, the sign is missing, or the limit is not a number.
    """
    name, _, limit = text.rpartition(":")
    contender, slash, metric = name.rpartition("/")
    if not slash or not contender:
        raise UsageError(f"--fail-if {text} names no contender", EXAMPLES)
    if metric not in BENCH_METRICS:
        raise UsageError(f"--fail-if {text}: unknown metric {metric!r}", f"choose one of {', '.join(BENCH_METRICS)}")
    units = ("",) if metric == "accuracy" else ("%", "ms") if BENCH_METRICS[metric].unit == "ms" else ("%",)
    return parse_limit(text, name, limit, units, EXAMPLES)


def check_bench_thresholds(thresholds: Sequence[Threshold], comparison: BenchComparison) -> tuple[ThresholdResult, ...]:
    """Check every contender that a threshold applies to.

    Raises:
        UsageError: no contender common to both benchmarks has the metric that a threshold refers to.
    """
    return tuple(result for threshold in thresholds for result in _check(threshold, comparison))


def _check(threshold: Threshold, comparison: BenchComparison) -> Iterator[ThresholdResult]:
    part, _, metric = threshold.name.rpartition("/")
    found = [
        (one, delta)
        for one in comparison.contenders
        if _applies(part, one)
        for delta in one.quantities
        if delta.name == metric
    ]
    if not found:
        names = "; ".join(one.name for one in comparison.contenders)
        raise UsageError(
            f"--fail-if {threshold.text}: no contender {part!r} has {metric}", f"use part of a name: {names}"
        )
    for one, delta in found:
        # only a time may be unstable, and then it would have been BETTER or WORSE
        unstable = BENCH_METRICS[metric].timed and (bool(one.unstable) or delta.verdict == "UNSTABLE")
        yield check_threshold(replace(threshold, name=f"{one.name}/{metric}"), delta, unstable=unstable)


def _applies(part: str, one: ContenderDelta) -> bool:
    name = one.name.lower()
    return part.lower() in name and (_BASELINE not in name or _BASELINE in part.lower())
