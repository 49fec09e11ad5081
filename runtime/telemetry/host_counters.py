"""Monotonic counters of this machine and process, read from ``/proc`` and ``/sys``.

A counter that the kernel, a container or a missing permission hides is None, never an error, since support varies
between machines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from .cgroups import memory_stall_s, throttled_s
from .cpus import allowed_cpus

_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # columns of a line in /proc/stat
_CPU_TIMES = slice(11, 15)  # utime, stime, cutime and cstime, counted from the column after a process's name
_BUSY = 0.5  # the clock of a CPU that is less busy says nothing about the run


class HostSample(NamedTuple):
    """Counters at one moment, in seconds of CPU or wall time, or in joules; None if unknown.

    Attributes:
        at_s: when they were read.
        own_s: CPU time of this process and its children.
        busy_s: time during which the CPUs of this process were not idle, from an arbitrary origin.
        stolen_s: time during which the hypervisor took these CPUs away.
        throttled_s: time during which a CPU quota stopped this process.
        memory_stall_s: time during which a task waited for memory.
        clock_mhz: median clock of the CPUs that were busy since the previous sample.
        joules: energy used by the processor packages since the first sample.
    """

    at_s: float
    own_s: float
    busy_s: float | None = None
    stolen_s: float | None = None
    throttled_s: float | None = None
    memory_stall_s: float | None = None
    clock_mhz: float | None = None
    joules: float | None = None


class HostCounters:
    """Reads the counters.

    Args:
        proc, sys: the roots of the two file systems.
        cpus: the CPUs to count; by default those that this process may use.
        now_s, process_s: return the time, and the CPU time of this process.
    """

    def __init__(
        self,
        proc: Path = Path("/proc"),
        sys: Path = Path("/sys"),
        cpus: Collection[int] | None = None,
        now_s: Callable[[], float] = time.perf_counter,
        process_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._proc, self._sys = proc, sys
        self._now_s, self._process_s = now_s, process_s
        self.cpus = frozenset(allowed_cpus() if cpus is None else cpus)
        self._packages = [Package(folder) for folder in _package_folders(sys)]
        self._busy: dict[int, float] = {}
        self._read_s = 0.0

    def read(self) -> HostSample:
        """Read all counters.

        Raises:
            OSError: there is no ``/proc``.
        """
        at_s, lines = self._now_s(), self._lines()
        # Most kernels measure idle time exactly, but sample the other columns at timer ticks.
        busy = {cpu: at_s - line[_IDLE] - line[_IOWAIT] - line[_STEAL] for cpu, line in lines.items()}
        complete = lines.keys() == self.cpus
        sample = HostSample(
            at_s=at_s,
            own_s=self._process_s() + self._children_s(),
            busy_s=sum(busy.values()) if complete else None,
            stolen_s=sum(line[_STEAL] for line in lines.values()) if complete else None,
            throttled_s=_unless_damaged(lambda: throttled_s(self._sys / "fs" / "cgroup", self._proc)),
            memory_stall_s=_unless_damaged(lambda: memory_stall_s(self._sys / "fs" / "cgroup", self._proc)),
            clock_mhz=self._clock_mhz(busy, at_s - self._read_s),
            joules=self._joules(),
        )
        self._busy, self._read_s = busy, at_s
        return sample

    def _lines(self) -> dict[int, list[float]]:
        """Return the times of each of these CPUs, in seconds; empty in a sandbox that does not count them."""
        text = (self._proc / "stat").read_text(encoding="utf-8")
        words = (line.split() for line in text.splitlines() if line.startswith("cpu") and line[3].isdigit())
        times = {int(name[3:]): [int(word) * _TICK_S for word in columns] for name, *columns in words}
        return {cpu: line for cpu, line in times.items() if cpu in self.cpus and len(line) > _STEAL and any(line)}

    def _children_s(self) -> float:
        """Return the CPU time of all processes that this one has started, finished or still running."""
        ended = os.times()
        return ended.children_user + ended.children_system + sum(map(self._tree_s, self._children("self")))

    def _children(self, process: str) -> list[str]:
        files = (self._proc / process / "task").glob("*/children")
        return [child for file in files for child in _text(file).split()]

    def _tree_s(self, process: str) -> float:
        columns = _text(self._proc / process / "stat").rpartition(")")[2].split()[_CPU_TIMES]
        return sum(map(int, columns)) * _TICK_S + sum(map(self._tree_s, self._children(process)))

    def _clock_mhz(self, busy: dict[int, float], seconds: float) -> float | None:
        """Return the median clock of the CPUs that were mostly busy since the last call."""
        loaded = [cpu for cpu, now in busy.items() if now - self._busy.get(cpu, now) > _BUSY * seconds]
        folder = self._sys / "devices" / "system" / "cpu"
        clocks = sorted(
            int(text) / 1e3
            for cpu in loaded
            if (text := _text(folder / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq")).isdigit()
        )
        return clocks[len(clocks) // 2] if clocks else None

    def _joules(self) -> float | None:
        joules = [package.joules() for package in self._packages]
        known = [each for each in joules if each is not None]
        return sum(known) if known and len(known) == len(joules) else None


class Package:
    """Energy counter of a processor package (RAPL), which wraps around to 0 at the end of its range."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = _text(folder / "max_energy_range_uj")
        self._last: int | None = None
        self._total = 0

    def joules(self) -> float | None:
        """Return the energy since the first call; None if this user may not read it, which is the default on Linux."""
        text = _text(self._file)
        if not text.isdigit():
            return None
        now = int(text)
        if self._last is not None:
            used = now - self._last
            self._total += used if used >= 0 else used + int(self._range)
        self._last = now
        return self._total * 1e-6


def _package_folders(sys: Path) -> Iterator[Path]:
    for folder in sorted((sys / "class" / "powercap").glob("intel-rapl:*")):  # AMD's have the same name
        if _text(folder / "name").startswith("package"):
            yield folder


def _unless_damaged(read: Callable[[], float | None]) -> float | None:
    try:
        return read()
    except (ValueError, IndexError):  # a kernel that writes another format
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:  # absent, not permitted, or a process that has ended
        return ""
