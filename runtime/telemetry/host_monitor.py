"""Monitor the load on this machine during a measurement: other processes, the hypervisor, quotas, memory, the clock.

A thread reads the counters twice per second, which takes less than a millisecond. Monitoring never affects the run: on
a system without such counters, it does nothing, and if the monitor fails, only its record is missing.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread
from types import TracebackType

from .host_counters import HostCounters, HostSample
from .host_record import HostRecord, host_record

INTERVAL_S = 0.5
_STOP_TIMEOUT_S = 2.0  # a read of /proc may hang


class HostMonitor:
    """Monitors this process's CPUs; enter it for the measurement.

    Args:
        threads: number of compute threads, each of which wants a CPU; None for as many as turn out to be in use.
        counters: what to read; by default the counters of this machine.
    """

    def __init__(
        self, threads: int | None = None, counters: HostCounters | None = None, interval_s: float = INTERVAL_S
    ) -> None:
        self._threads, self._counters, self._interval_s = threads, counters, interval_s
        self._samples: list[HostSample] = []
        self._ended = Event()
        self._thread = Thread(target=self._sample_until_stopped, name="vbench-host-monitor", daemon=True)

    def __enter__(self) -> HostMonitor:
        with suppress(Exception):
            self._counters = self._counters or HostCounters()
            self._samples.append(self._counters.read())
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._ended.set()
            self._thread.join(_STOP_TIMEOUT_S)
            if self._counters is not None and not self._thread.is_alive():
                self._samples.append(self._counters.read())

    def record(self) -> HostRecord | None:
        """Return the record of the measurement; None if the system does not report its load."""
        with suppress(Exception):
            if self._counters is not None:
                return host_record(list(self._samples), len(self._counters.cpus), self._threads)
        return None

    def _sample_until_stopped(self) -> None:
        with suppress(Exception):  # an error in the monitor must not reach the run
            while self._counters is not None and not self._ended.wait(self._interval_s):
                self._samples.append(self._counters.read())
