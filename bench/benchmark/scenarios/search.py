"""Search for the highest arrival rate at which a latency bound holds.

LoadGen's own search (FindPeakPerformance) must start at a rate that holds, returns nothing otherwise, and reports only
its last run. This bisection starts from the measured throughput, in either direction, and every probe is a complete
LoadGen test with its own logs and verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .loadgen_log import LoadGenRun

PRECISION = 1.05  # ratio of the lowest rate that fails to the highest that holds
_FIRST = 0.8  # of the throughput: near saturation, queues grow
_STEP = 1.5  # until one rate holds and another one fails
_SLOWEST = 1 / 16  # of the throughput


class Search(NamedTuple):
    """All probes in order, and the one at the highest rate that held; None if none did."""

    probes: tuple[LoadGenRun, ...]
    best: LoadGenRun | None


def find_rate(probe: Callable[[float], LoadGenRun], throughput: float) -> Search:
    """Find the highest rate that holds, to within 5%, near ``throughput`` (clips per second).

    The bound is expected to hold at all lower rates and to fail at all higher ones.
    """
    probes: list[LoadGenRun] = []
    best: LoadGenRun | None = None
    holds, fails, rate = 0.0, float("inf"), _FIRST * throughput
    while fails > PRECISION * holds and rate >= _SLOWEST * throughput:
        run = probe(rate)
        probes.append(run)
        if run.holds:
            holds, best = rate, run
        else:
            fails = rate
        rate = _next(holds, fails)
    return Search(tuple(probes), best)


def _next(holds: float, fails: float) -> float:
    if not holds:
        return fails / _STEP
    return holds * _STEP if fails == float("inf") else float((holds * fails) ** 0.5)
