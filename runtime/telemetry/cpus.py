"""The number of CPUs that this process may use: the default for all thread and worker counts."""

from __future__ import annotations

import os

from .cgroups import cpu_quota


def usable_cpus() -> int:
    """Return the number of CPUs in this process's affinity mask, or fewer if its control groups set a lower quota."""
    quota = cpu_quota()
    cpus = affinity_cpus()
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def affinity_cpus() -> int:
    """Return the number of CPUs in this process's affinity mask."""
    return len(allowed_cpus())


def allowed_cpus() -> set[int]:
    """Return the CPUs in this process's affinity mask."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
