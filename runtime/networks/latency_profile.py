"""How long a bundle takes at each of its frame counts on this machine: measured once, kept beside the bundle.

``measurements.json`` is no part of the bundle (its digests do not cover it): it holds nothing but times, for each
machine, engine, precision and number of threads that asked for them.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import VbenchError
from ...files import whole_file
from ..policies.cascade import Cascade
from ..scheduler.options import StreamOptions
from ..telemetry.environment import machine

if TYPE_CHECKING:
    from .flexible import FlexibleNetwork

FILE = "measurements.json"
_REPETITIONS = 10
_PERCENT = 90  # a budget is to be kept, not met on average


class Measurements:
    """The times of a network; measuring takes ten clips at each count."""

    def __init__(self, network: FlexibleNetwork) -> None:
        self._network = network
        self._file: Path = network.bundle.path / FILE
        self._what = {
            "bundle": network.bundle.digest,
            "engine": network.engine.name,
            **network.engine.describe(),
            **machine(),
        }
        self._key = hashlib.sha256(json.dumps(self._what, sort_keys=True).encode()).hexdigest()[:16]

    def times_ms(self) -> dict[int, float]:
        """Return for every frame count the milliseconds from frames in memory to the answer that 90 % keep to."""
        counts = self._network.loaded
        entry = self._read().get(self._key)
        with suppress(TypeError, KeyError, ValueError):
            times = {int(count): float(found) for count, found in entry["times_ms"].items()}  # type: ignore[index]
            if tuple(times) == counts:
                return times
        times = {count: self._measured(count) for count in counts}
        self._write({"times_ms": times, "percent": _PERCENT, "repetitions": _REPETITIONS, "measured_on": self._what})
        return times

    def _measured(self, count: int) -> float:
        network = self._network.with_policy(Cascade((count,)))
        options = StreamOptions()
        network.warm_up(options)
        results = network.stream([network.grey(count)] * _REPETITIONS, options)
        return float(np.percentile([1e3 * result.cost.latency_s for result in results], _PERCENT))

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # not there yet, or damaged: it can always be measured again
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, entry: dict[str, Any]) -> None:
        # A bundle that cannot be written to (read-only, or a full disk) is measured anew each time it is loaded.
        with suppress(OSError, VbenchError), whole_file(self._file) as temporary:
            temporary.write_text(json.dumps({**self._read(), self._key: entry}, indent=1) + "\n", encoding="utf-8")
