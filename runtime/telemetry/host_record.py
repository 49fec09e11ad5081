"""Record of the load on a machine during a measurement, computed from samples of its counters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .gpu_record import Spread
from .host_counters import HostSample
from .stability import SLOW_CLOCK, problems

SHORTEST_S = 0.25
"""Shortest time over which CPU use is known: the kernel counts it in ticks of 10 ms for each CPU."""
FEWEST_CLOCKS = 20
"""Fewest samples for the slow-clock share: with fewer, a single sample during a clock change would exceed the limit."""
_SPARE_CPUS = 0.1  # a process that uses 1.05 CPUs on average wants one, not two


@dataclass(frozen=True)
class HostRecord:
    """Load on a process's CPUs during a measurement; a signal that the machine does not report is None.

    Attributes:
        seconds: duration of the measurement.
        cpus: number of CPUs in the process's affinity mask.
        wanted_cpus: number of CPUs that it wants: one per thread, or as many as it used, rounded up.
        own_cpus: mean number of CPUs that it and its children used.
        other_cpus: mean number of these CPUs that everything else used.
        stolen_cpus: mean number of these CPUs that the hypervisor took.
        throttled_share: share of the time during which a CPU quota stopped the process.
        memory_stall_share: share of the time during which a task waited for memory.
        clock_mhz: clock of the busy CPUs.
        slow_clock_share: share of the samples in which the clock was far below its median.
        joules: energy used by the processor packages, including what everything else on them used.
        disturbed_share: share of the half-second windows in which a limit was exceeded.
    """

    seconds: float
    cpus: int
    wanted_cpus: int
    own_cpus: float
    other_cpus: float | None = None
    stolen_cpus: float | None = None
    throttled_share: float | None = None
    memory_stall_share: float | None = None
    clock_mhz: Spread | None = None
    slow_clock_share: float | None = None
    joules: float | None = None
    disturbed_share: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON; see `from_dict`."""
        return {**vars(self), "clock_mhz": None if self.clock_mhz is None else self.clock_mhz._asdict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> HostRecord:
        """Return the record from JSON.

        Raises:
            TypeError: an entry is missing or unknown.
        """
        clock = record.get("clock_mhz")
        return cls(**{**record, "clock_mhz": None if clock is None else Spread(**clock)})


def host_record(samples: Sequence[HostSample], cpus: int, threads: int | None = None) -> HostRecord | None:
    """Return the record of a measurement, given samples, the first taken at its start and the last at its end.

    Args:
        samples: all samples, in order.
        cpus: number of CPUs in the process's affinity mask.
        threads: number of compute threads; None if unknown.
    """
    if len(samples) < 2 or samples[-1].at_s <= samples[0].at_s:
        return None
    whole = _between(samples[0], samples[-1], cpus, threads or 1)
    clocks = [sample.clock_mhz for sample in samples if sample.clock_mhz is not None]
    median = float(np.median(clocks)) if clocks else 0.0
    return replace(
        whole,
        clock_mhz=Spread(min(clocks), median, max(clocks)) if clocks else None,
        slow_clock_share=_slow_share(clocks, median) if len(clocks) >= FEWEST_CLOCKS else None,
        disturbed_share=_disturbed(samples, whole, median),
    )


def _between(start: HostSample, end: HostSample, cpus: int, wanted: int) -> HostRecord:
    """Return the record for the time between two samples, without clocks, given the number of CPUs ``wanted``."""
    seconds = end.at_s - start.at_s
    own = max(0.0, (end.own_s - start.own_s) / seconds)
    busy = _rate(start.busy_s, end.busy_s, seconds)
    stolen = _rate(start.stolen_s, end.stolen_s, seconds)
    throttled = _rate(start.throttled_s, end.throttled_s, seconds)
    long = seconds >= SHORTEST_S
    return HostRecord(
        seconds=seconds,
        cpus=cpus,
        wanted_cpus=min(cpus, max(wanted, math.ceil(own - _SPARE_CPUS))),
        own_cpus=own,
        other_cpus=max(0.0, busy - own) if busy is not None and long else None,
        stolen_cpus=stolen if long else None,
        throttled_share=None if throttled is None else min(1.0, throttled),  # the kernel adds up the CPUs
        memory_stall_share=_rate(start.memory_stall_s, end.memory_stall_s, seconds),
        joules=_rate(start.joules, end.joules, 1.0),
    )


def _slow_share(clocks: Sequence[float], median: float) -> float:
    return sum(clock < SLOW_CLOCK * median for clock in clocks) / len(clocks)


def _rate(start: float | None, end: float | None, seconds: float) -> float | None:
    return None if start is None or end is None else max(0.0, end - start) / seconds


def _disturbed(samples: Sequence[HostSample], whole: HostRecord, median_mhz: float) -> float:
    """Return the share of windows between samples in which a limit was exceeded, ignoring windows too short to tell."""
    windows = [pair for pair in pairwise(samples) if pair[1].at_s - pair[0].at_s >= SHORTEST_S]
    disturbed = [_is_disturbed(start, end, whole, median_mhz) for start, end in windows]
    return sum(disturbed) / len(disturbed) if disturbed else float(bool(problems(whole)))


def _is_disturbed(start: HostSample, end: HostSample, whole: HostRecord, median_mhz: float) -> bool:
    slow = end.clock_mhz is not None and end.clock_mhz < SLOW_CLOCK * median_mhz
    return slow or bool(problems(_between(start, end, whole.cpus, whole.wanted_cpus)))
