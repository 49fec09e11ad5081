"""Fake trees of ``/proc`` and ``/sys`` for a process on two of four CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vbench.runtime.telemetry.host_counters import HostCounters

CPUS = (0, 2)
TICKS_PER_S = 100


class FakeHost:
    """A machine whose counters a test writes; ``own_s`` is the CPU time of the process, and ``now_s`` the time."""

    def __init__(self, root: Path) -> None:
        self.proc, self.sys = root / "proc", root / "sys"
        self.own_s, self.now_s = 0.0, 1000.0
        self.cgroups = self.sys / "fs" / "cgroup"
        self.write("proc/self/cgroup", "0::/box/run\n")
        self.busy()

    def counters(self) -> HostCounters:
        return HostCounters(self.proc, self.sys, CPUS, lambda: self.now_s, lambda: self.own_s)

    def write(self, name: str, text: str) -> None:
        path = self.proc.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def busy(self, seconds: Sequence[float] = (0, 0, 0, 0), stolen_s: float = 0) -> None:
        """Write for how long each CPU was busy until now, and for how long it was stolen."""
        lines = ["cpu  9 9 9 9 9 9 9 9 9 9"]
        for cpu, each in enumerate(seconds):
            idle_s = self.now_s - each - stolen_s - 2
            ticks = (each, 0, 0, idle_s, 2, 0, 0, stolen_s, 33, 0)
            lines.append(f"cpu{cpu} {' '.join(str(round(value * TICKS_PER_S)) for value in ticks)}")
        self.write("proc/stat", "\n".join([*lines, "intr 1 2 3", "ctxt 5"]) + "\n")

    def process(self, number: int, seconds: float, children: str = "") -> None:
        """Write a process whose name contains brackets, with the numbers of its children."""
        self.write(f"proc/{number}/task/{number}/children", children)
        ticks = int(seconds * TICKS_PER_S)
        self.write(f"proc/{number}/stat", f"{number} (a) b (c)) S 1 1 1 0 -1 4 9 9 9 9 {ticks - 3} 1 1 1 20 0 1 0\n")

    def clock(self, cpu: int, mhz: float) -> None:
        self.write(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{int(mhz * 1000)}\n")

    def energy(self, domain: str, name: str, joules: float, range_j: float = 1000) -> None:
        folder = f"sys/class/powercap/{domain}"
        self.write(f"{folder}/name", f"{name}\n")
        self.write(f"{folder}/energy_uj", f"{int(joules * 1e6)}\n")
        self.write(f"{folder}/max_energy_range_uj", f"{int(range_j * 1e6)}\n")
