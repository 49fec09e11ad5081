"""What a GPU did during a run, derived from samples of its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .nvml import IDLE


class Sample(NamedTuple):
    """What one look at a GPU gave; None where it does not say."""

    at_s: float
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    power_w: float | None
    temperature_c: float | None
    utilisation_percent: float | None
    reasons: tuple[str, ...] | None


class Span(NamedTuple):
    """When the run began and ended, and what the GPU's own counter of energy said then."""

    start_s: float
    stop_s: float
    start_j: float | None
    stop_j: float | None


class Spread(NamedTuple):
    """The smallest, middle and largest of what was read."""

    min: float
    median: float
    max: float


class Share(NamedTuple):
    """A reason for which clocks were not higher, and the share of samples in which it held."""

    reason: str
    share: float


@dataclass(frozen=True)
class GpuRecord:
    """What a GPU did while ``videos`` ran on it (of a run that was resumed, not all of the run's).

    ``idle_power_w`` was read before anything ran, ``temperature_c`` is the highest. ``throttled`` leaves out that there
    was nothing to do. ``joules_from`` is the GPU's own ``counter``, or the ``samples`` of power where it has none.
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
        """Return the record as it stands in ``run.json``."""
        plain = {name: value._asdict() if isinstance(value, Spread) else value for name, value in vars(self).items()}
        return {**plain, "throttled": [share._asdict() for share in self.throttled]}


def gpu_record(name: str, samples: Sequence[Sample], span: Span, idle_power_w: float | None, videos: int) -> GpuRecord:
    """Return what the samples come to."""
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
    """Return the joules and what they come from: the counter, else power over time, held constant at both ends."""
    if span.start_j is not None and span.stop_j is not None:
        return span.stop_j - span.start_j, "counter"
    known = [(sample.at_s, sample.power_w) for sample in samples if sample.power_w is not None]
    if not known:
        return None, None
    times, watts = zip((span.start_s, known[0][1]), *known, (span.stop_s, known[-1][1]))
    between = np.diff(np.clip(times, span.start_s, span.stop_s))
    return float(np.sum(between * (np.array(watts[1:]) + np.array(watts[:-1])) / 2)), "samples"
