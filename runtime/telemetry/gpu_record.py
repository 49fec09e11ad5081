"""GPU record of a run, computed from samples of the GPU state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .nvml import IDLE


class Sample(NamedTuple):
    """One sample of a GPU's state; None for values that the GPU does not report."""

    at_s: float
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    power_w: float | None
    temperature_c: float | None
    utilisation_percent: float | None
    reasons: tuple[str, ...] | None


class Span(NamedTuple):
    """Start and end of the run, and the reading of the GPU's energy counter at each."""

    start_s: float
    stop_s: float
    start_j: float | None
    stop_j: float | None


class Spread(NamedTuple):
    """Minimum, median and maximum of the sampled values."""

    min: float
    median: float
    max: float


class Share(NamedTuple):
    """A throttling reason and the share of samples in which it was active."""

    reason: str
    share: float


@dataclass(frozen=True)
class GpuRecord:
    """State of a GPU during a run of ``videos`` videos; for a resumed run, only those run since it was resumed.

    ``idle_power_w`` was read before the run; ``temperature_c`` is the maximum; ``throttled`` excludes idleness.
    ``joules_from`` is ``counter`` if the GPU's own energy counter was used, or ``samples`` if power samples were
    integrated.
    """

    name: str
    samples: int
    seconds: float
    sm_clock_mhz: Spread | None
    memory_clock_mhz: Spread | None
    power_w: Spread | None
    idle_power_w: float | None
    utilisation_percent: Spread | None
    temperature_c: float | None
    throttled: tuple[Share, ...]
    joules: float | None
    joules_from: str | None
    videos: int
    joules_per_video: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the record as stored in ``run.json``; see `from_dict`."""
        plain = {name: value._asdict() if isinstance(value, Spread) else value for name, value in vars(self).items()}
        return {**plain, "throttled": [share._asdict() for share in self.throttled]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> GpuRecord:
        """Return the record from JSON.

        Raises:
            KeyError, TypeError: an entry is missing or unknown.
        """
        spreads = {name: None if record[name] is None else Spread(**record[name]) for name in _SPREADS}
        return cls(**{**record, **spreads, "throttled": tuple(Share(**share) for share in record["throttled"])})


_SPREADS = ("sm_clock_mhz", "memory_clock_mhz", "power_w", "utilisation_percent")


def gpu_record(name: str, samples: Sequence[Sample], span: Span, idle_power_w: float | None, videos: int) -> GpuRecord:
    """Return the record of a run from its samples."""
    joules, source = _energy(samples, span)
    return GpuRecord(
        name=name,
        samples=len(samples),
        seconds=span.stop_s - span.start_s,
        sm_clock_mhz=_spread([sample.sm_clock_mhz for sample in samples]),
        memory_clock_mhz=_spread([sample.memory_clock_mhz for sample in samples]),
        power_w=_spread([sample.power_w for sample in samples]),
        idle_power_w=idle_power_w,
        utilisation_percent=_spread([sample.utilisation_percent for sample in samples]),
        temperature_c=max(_known([sample.temperature_c for sample in samples]), default=None),
        throttled=_throttled(samples),
        joules=joules,
        joules_from=source,
        videos=videos,
        joules_per_video=joules / videos if joules is not None and videos else None,
    )


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = _known(values)
    return Spread(min(known), float(np.median(known)), max(known)) if known else None


def _throttled(samples: Sequence[Sample]) -> tuple[Share, ...]:
    known = [sample.reasons for sample in samples if sample.reasons is not None]
    counts = Counter(reason for reasons in known for reason in reasons if reason != IDLE)
    return tuple(Share(reason, count / len(known)) for reason, count in counts.most_common())


def _energy(samples: Sequence[Sample], span: Span) -> tuple[float | None, str | None]:
    """Return the energy in joules and its source: the counter, or power over time, held constant at both ends."""
    if span.start_j is not None and span.stop_j is not None:
        return span.stop_j - span.start_j, "counter"
    known = [(sample.at_s, sample.power_w) for sample in samples if sample.power_w is not None]
    if not known:
        return None, None
    times, watts = zip((span.start_s, known[0][1]), *known, (span.stop_s, known[-1][1]))
    between = np.diff(np.clip(times, span.start_s, span.stop_s))
    return float(np.sum(between * (np.array(watts[1:]) + np.array(watts[:-1])) / 2)), "samples"
