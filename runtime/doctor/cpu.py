"""Processor and memory checks: usable cores, instruction sets, and container limits."""

from __future__ import annotations

import os
from pathlib import Path

from ... import __version__
from ..telemetry.cgroups import cpu_quota, memory_limit
from ..telemetry.cpus import usable_cpus
from ..telemetry.environment import cpu_flags, machine
from .finding import CheckResult, Finding, absent, findings, ok, problem

_SETS = {  # flag names in /proc/cpuinfo: first x86, then Arm
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "AMX": {"amx_tile"},
    "AVX512-BF16": {"avx512_bf16"},
}
_ARM_SETS = {"NEON": {"asimd"}, "dot product": {"asimddp"}, "SVE": {"sve"}, "i8mm": {"i8mm"}, "bf16": {"bf16"}}
_LOW_MEMORY_BYTES = 1e9


def check() -> list[Finding]:
    """Return findings about the machine, excluding its disks and GPUs."""
    facts = machine()
    programs = findings("vbench", {"vbench": lambda: ok(__version__), "Python": lambda: ok(str(facts["python"]))})
    checks = {
        "system": lambda: ok(str(facts["system"])),
        "processor": lambda: ok(str(facts["processor"])),
        "cores": _cores,
        "instructions": _instructions,
        "memory": _memory,
    }
    return programs + findings("machine", checks)


def _cores() -> CheckResult:
    cores, all_cores = int(machine()["cores"]), os.cpu_count() or 1
    detail = f"{cores} of {all_cores}" if cores < all_cores else str(cores)
    quota = cpu_quota()
    if quota is None or quota >= cores:
        return ok(detail)
    threads = usable_cpus()
    return ok(
        f"{detail}, but this container is limited to {quota:g} CPUs: engines use {threads} thread{'s' * (threads > 1)}"
    )


def _instructions() -> CheckResult:
    flags = cpu_flags()
    if not flags:
        return absent("not reported by this system")
    sets = _ARM_SETS if "asimd" in flags else _SETS
    has = [name for name, words in sets.items() if words & flags]
    lacks = [name for name in sets if name not in has]
    return ok("; ".join(filter(None, (", ".join(has), f"not {', '.join(lacks)}" if lacks else ""))))


def _memory() -> CheckResult:
    if not hasattr(os, "sysconf"):  # Windows
        return absent("not reported by this system")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = _available()
    limit = memory_limit()
    detail = f"{total / 1e9:.1f} GB" + ("" if free is None else f", {free / 1e9:.1f} GB free")
    if limit is not None and limit < total:
        detail += f", {limit / 1e9:.1f} GB for this container"
    if free is not None and free < _LOW_MEMORY_BYTES:
        return problem(detail, "close other programs; vbench run --mode latency ... uses the least memory")
    return ok(detail)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)
