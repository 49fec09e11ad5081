"""Machine load during a measurement: the load average, and the process's share of the processors."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from .environment import machine


class LoadMonitor:
    """Context manager that records when a block of code ran and how loaded the machine was.

    A load average far above the number of processors that this process used means that other processes were competing
    for them.
    """

    def __enter__(self) -> LoadMonitor:
        self._date = datetime.now(timezone.utc)
        self._average = _load_average()
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cpu_s, self._wall_s = time.process_time() - self._cpu_s, time.perf_counter() - self._wall_s

    def record(self) -> dict[str, Any]:
        """Return the date, the load average before the block, the mean number of processors used, and the cores."""
        return {
            "date": self._date.isoformat(timespec="seconds"),
            "load_average": self._average,
            "cpus_used": round(self._cpu_s / max(self._wall_s, 1e-9), 2),
            "cores": machine()["cores"],
        }


def load_text(record: Mapping[str, Any]) -> str:
    """Describe a record in words.

    Raises:
        KeyError, TypeError, ValueError: the record was not made by a `LoadMonitor`.
    """
    average = record["load_average"]
    load = "unknown load" if average is None else f"load average {float(average):.1f}"
    date = datetime.fromisoformat(record["date"])
    return f"measured on {date:%Y-%m-%d at %H:%M} UTC, {load} on {int(record['cores'])} cores"


def _load_average() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):  # not available on Windows
        return None
