"""Limits on the disturbance of a measurement: beyond one of them, times say more about the machine than about the code.

The limits are shares of the CPUs that a process may use, or of the time. They are far above the background load of an
idle machine and far below that of a process competing for one CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .gpu_record import GpuRecord
    from .host_record import HostRecord

OTHER_SHARE = 0.1
"""CPU time of other processes beyond the CPUs that the process leaves idle, as a share of all its CPUs."""
STOLEN_SHARE = 0.05
"""CPU time that the hypervisor took, as a share of all CPUs of the process."""
THROTTLED_SHARE = 0.02
"""Share of the time during which a CPU quota stopped the process."""
MEMORY_STALL_SHARE = 0.05
"""Share of the time during which a task waited for memory."""
SLOW_CLOCK = 0.85
"""Clock below which a CPU counts as slow, as a share of its median."""
SLOW_CLOCK_SHARE = 0.05
"""Share of the samples with a slow clock."""
GPU_THROTTLED_SHARE = 0.05
"""Share of the samples in which the GPU was throttled for one reason."""
# Deliberately chosen clocks, which are lower but constant.
_CHOSEN_CLOCKS = ("applications_clocks_setting", "display_clock_setting", "sync_boost")


class Problem(NamedTuple):
    """A ``signal`` whose ``value`` exceeded its ``limit``, with a one-line ``text``."""

    signal: str
    value: float
    limit: float
    text: str


def problems(host: HostRecord | None, gpu: GpuRecord | None = None) -> tuple[Problem, ...]:
    """Return a problem for every signal of a measurement that exceeded its limit; unknown signals exceed none."""
    found = [*(() if host is None else _host_signals(host)), *(() if gpu is None else _gpu_signals(gpu))]
    return tuple(problem for problem in found if problem.value > problem.limit)


def other_cpus_limit(host: HostRecord) -> float:
    """Return how many CPUs other processes may use: those that this process leaves idle, plus a tenth of all."""
    return host.cpus - host.wanted_cpus + OTHER_SHARE * host.cpus


def _host_signals(host: HostRecord) -> Iterator[Problem]:
    cpus = f"{host.cpus} CPU{'s' * (host.cpus > 1)}"
    if host.other_cpus is not None:
        limit = other_cpus_limit(host)
        text = f"other processes used {host.other_cpus:.2f} of {cpus}, limit {limit:.2f}"
        yield Problem("other_cpus", host.other_cpus, limit, text)
    if host.stolen_cpus is not None:
        limit = STOLEN_SHARE * host.cpus
        text = f"the hypervisor took {host.stolen_cpus:.2f} of {cpus}, limit {limit:.2f}"
        yield Problem("stolen_cpus", host.stolen_cpus, limit, text)
    for name, limit, said in (
        ("throttled_share", THROTTLED_SHARE, "the CPU quota stopped the process for {} of the time"),
        ("memory_stall_share", MEMORY_STALL_SHARE, "processes waited for memory for {} of the time"),
        (
            "slow_clock_share",
            SLOW_CLOCK_SHARE,
            f"the CPU clock was below {100 * SLOW_CLOCK:.0f} % of its median in {{}} of samples",
        ),
    ):
        value = getattr(host, name)
        if value is not None:
            yield _share(name, value, limit, said)


def _gpu_signals(gpu: GpuRecord) -> Iterator[Problem]:
    for reason, share in gpu.throttled:  # which excludes idleness
        if reason not in _CHOSEN_CLOCKS:
            said = f"the GPU was throttled by {_reason_text(reason)} in {{}} of samples"
            yield _share(f"gpu_{reason}", share, GPU_THROTTLED_SHARE, said)


def _share(signal: str, value: float, limit: float, said: str) -> Problem:
    return Problem(signal, value, limit, f"{said.format(f'{100 * value:.1f} %')}, limit {100 * limit:.0f} %")


def _reason_text(reason: str) -> str:
    return reason.removeprefix("sw_").removeprefix("hw_").replace("_", " ")
