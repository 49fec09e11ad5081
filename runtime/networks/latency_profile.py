"""Latency of a bundle on this machine at each of its frame counts, measured once and stored with the bundle.

There is one entry for each combination of machine, engine, precision and number of threads (see `MeasurementStore`).
Times distorted by a busy machine are measured again and never stored as valid; an entry that remains implausible is
marked as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Engine
from ..measurements.identity import cpu_identity
from ..measurements.spread import PERCENT, wide_spread
from ..measurements.store import MeasurementStore
from ..telemetry.environment import machine
from ..telemetry.load import LoadMonitor, load_text

_REPETITIONS = 10
_ATTEMPTS = 3
_NOISE = 1.25  # a count that is this much slower than a larger one was disturbed


class Latencies(NamedTuple):
    """Measured latencies.

    Attributes:
        times_ms: 90th percentile of the latency from frames in memory to the result, by frame count.
        measured: when and under what load they were measured, for messages; "" if the entry does not record it.
        unsteady: why the times are implausible; "" if they are plausible.
    """

    times_ms: dict[int, float]
    measured: str = ""
    unsteady: str = ""

    def bounds_ms(self) -> dict[int, float]:
        """Return the times, each at least the time of any smaller count: only noise makes a larger count faster."""
        bounds = np.maximum.accumulate(list(self.times_ms.values())).tolist()
        return dict(zip(self.times_ms, bounds))

    def text(self) -> str:
        """Describe when, under what load and how reliably the times were measured; "" if unknown."""
        return "; ".join(filter(None, (self.measured, self.unsteady and f"unsteady: {self.unsteady}")))


class _Attempt(NamedTuple):
    """Times of one attempt, the load during it, and why the times are implausible."""

    times_ms: dict[int, float]
    load: dict[str, Any]
    unsteady: str


class LatencyProfile:
    """Latency at each frame count in ``counts``, measured on ten clips per count.

    Attributes:
        setup: what the times apply to: bundle, engine and machine.
    """

    def __init__(
        self,
        bundle: Bundle[Manifest],
        engine: Engine,
        counts: tuple[int, ...],
        measure_ms: Callable[[int, int], list[float]],
    ) -> None:
        """``measure_ms(count, clips)`` measures the latency of each clip after a warm-up."""
        self._counts, self._measure_ms = counts, measure_ms
        self._store = MeasurementStore(bundle)
        about = {"bundle": bundle.digest, "engine": engine.name, **engine.describe()}
        self.setup = {**about, **machine(), **cpu_identity()}

    def latencies(self, *, remeasure: bool = False, accept_unsteady: bool = False) -> Latencies:
        """Return the stored latencies, measuring them if the file has none or only implausible ones.

        With ``remeasure``, stored latencies are ignored. With ``accept_unsteady``, stored latencies marked as
        implausible are accepted, for callers that cannot wait for another attempt.
        """
        stored = None if remeasure else self._stored()
        if stored is not None and (not stored.unsteady or accept_unsteady):
            return stored
        entry = self._measured()
        self._store.put("latencies", self.setup, entry)  # if that fails, every load measures again
        return _latencies(entry)

    def _stored(self) -> Latencies | None:
        """Return the stored latencies for this setup; None if missing, invalid, or implausible but unmarked."""
        with suppress(TypeError, KeyError, ValueError, AttributeError, OverflowError):
            found = _latencies(self._store.get("latencies", self.setup) or {})
            valid = tuple(found.times_ms) == self._counts and all(
                0 < time < math.inf for time in found.times_ms.values()
            )
            if valid and (found.unsteady or not slower_with_fewer_frames(found.times_ms)):
                return found
        return None

    def _measured(self) -> dict[str, Any]:
        """Return a new entry: the first plausible attempt, or else the fastest one, marked as unsteady."""
        attempts = [self._attempt()]
        while attempts[-1].unsteady and len(attempts) < _ATTEMPTS:
            attempts.append(self._attempt())
        best = min(attempts, key=lambda each: (bool(each.unsteady), sum(each.times_ms.values())))
        return {**best._asdict(), "attempts": len(attempts), "percent": PERCENT, "repetitions": _REPETITIONS}

    def _attempt(self) -> _Attempt:
        with LoadMonitor() as monitor:
            samples = {count: self._measure_ms(count, _REPETITIONS) for count in self._counts}
        # a budget is an upper bound, not an average
        times = {count: float(np.percentile(values, PERCENT)) for count, values in samples.items()}
        return _Attempt(times, monitor.record(), slower_with_fewer_frames(times) or _spread(samples))


def slower_with_fewer_frames(times_ms: Mapping[int, float]) -> str:
    """Describe a count that is slower than a larger one by more than noise; return "" if there is no such count."""
    for (few, slow_ms), (many, fast_ms) in combinations(sorted(times_ms.items()), 2):
        if slow_ms > _NOISE * fast_ms:
            return f"{few} frames took {slow_ms:.1f} ms, {many} frames {fast_ms:.1f} ms"
    return ""


def _spread(samples_ms: Mapping[int, Sequence[float]]) -> str:
    """Describe a count whose repetitions differ too much; return "" if there is no such count."""
    found = ((count, wide_spread(values)) for count, values in samples_ms.items())
    return next((f"{count} frames {problem}" for count, problem in found if problem), "")


def _latencies(entry: Mapping[str, Any]) -> Latencies:
    """Return the latencies in an entry of the file.

    Raises:
        TypeError, KeyError, ValueError, AttributeError: the entry is invalid.
    """
    times = {int(count): float(time_ms) for count, time_ms in entry["times_ms"].items()}
    return Latencies(times, load_text(entry["load"]) if "load" in entry else "", str(entry.get("unsteady", "")))
