"""Latency of a bundle at each of its frame counts on this machine, measured once and stored in the bundle's folder.

``measurements.json`` is not part of the bundle (its digests do not cover it). It holds only times, one entry for each
combination of machine, engine, precision and number of threads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError, VbenchError
from ...files import whole_file
from ...json_file import read_json
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Engine
from ..telemetry.environment import machine

FILE = "measurements.json"
_REPETITIONS = 10
_PERCENT = 90  # a budget is an upper bound, not an average


class LatencyProfile:
    """Latency at each of ``counts`` frames, measured with ten clips per count."""

    def __init__(
        self,
        bundle: Bundle[Manifest],
        engine: Engine,
        counts: tuple[int, ...],
        measure_ms: Callable[[int, int], list[float]],
    ) -> None:
        """Measure with ``measure_ms(count, clips)``, which returns the latency of each clip after a warm-up."""
        self._counts, self._measure_ms = counts, measure_ms
        self._file: Path = bundle.path / FILE
        self._setup = {"bundle": bundle.digest, "engine": engine.name, **engine.describe(), **machine()}
        self._key = hashlib.sha256(json.dumps(self._setup, sort_keys=True).encode()).hexdigest()[:16]

    def times_ms(self) -> dict[int, float]:
        """Return the 90th percentile of the latency in ms, from frames in memory to result, by frame count."""
        entry = self._read().get(self._key)
        with suppress(TypeError, KeyError, ValueError, AttributeError, OverflowError):
            times = {int(count): float(time_ms) for count, time_ms in entry["times_ms"].items()}  # type: ignore[index]
            if tuple(times) == self._counts and all(0 < time_ms < float("inf") for time_ms in times.values()):
                return times
        times = {count: self._measure(count) for count in self._counts}
        self._write({"times_ms": times, "percent": _PERCENT, "repetitions": _REPETITIONS, "measured_on": self._setup})
        return times

    def _measure(self, count: int) -> float:
        return float(np.percentile(self._measure_ms(count, _REPETITIONS), _PERCENT))

    def _read(self) -> dict[str, Any]:
        try:
            return read_json(self._file, BundleError, "measure again")
        except BundleError:  # missing or damaged: measure again
            return {}

    def _write(self, entry: dict[str, Any]) -> None:
        # If the bundle's folder is not writable (read-only, or a full disk), every load measures again.
        with suppress(OSError, VbenchError), whole_file(self._file) as temporary:
            temporary.write_text(json.dumps({**self._read(), self._key: entry}, indent=1) + "\n", encoding="utf-8")
