"""Processor and memory checks: usable cores, instruction sets, and container limits."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ..telemetry.environment import machine
from .finding import CheckResult, Finding, absent, findings, ok, problem

_SETS = {  # flag names in /proc/cpuinfo: x86, then Arm
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "AMX": {"amx_tile"},
    "bf16": {"avx512_bf16", "amx_bf16"},
}
_ARM_SETS = {"NEON": {"asimd"}, "dot product": {"asimddp"}, "SVE": {"sve"}, "i8mm": {"i8mm"}, "bf16": {"bf16"}}
_LOW_MEMORY_BYTES = 1e9
_CGROUPS = Path("/sys/fs/cgroup")


def check() -> list[Finding]:
    """Return the findings about the machine, except its disks and GPUs."""
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
    usable, all_cores = int(machine()["cores"]), os.cpu_count() or 1
    detail = f"{usable} of {all_cores}" if usable < all_cores else str(usable)
    quota = cpu_quota()
    if quota is None or quota >= usable:
        return ok(detail)
    detail = f"{detail}, but this container is limited to {quota:g} CPUs: more threads are throttled"
    return problem(detail, f"vbench run --threads {max(int(quota), 1)} ...")


def _instructions() -> CheckResult:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if platform.system() == "Linux" else []
    flags = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split(":")[1].split()}
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
        return problem(detail, "close other programs; vbench run --mode latency ... needs the least memory")
    return ok(detail)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)


def cpu_quota(root: Path = _CGROUPS) -> float | None:
    """Return the CPU quota of this process's control groups, in CPUs; None if unlimited."""
    found = [
        float(quota) / float(period)
        for text in _texts(root, "cpu.max")
        for quota, period in [text.split()[:2]]
        if quota != "max"
    ]
    for text, period in zip(_texts(root / "cpu", "cpu.cfs_quota_us"), _texts(root / "cpu", "cpu.cfs_period_us")):
        if int(text) > 0:
            found.append(int(text) / int(period))
    return min(found, default=None)


def memory_limit(root: Path = _CGROUPS) -> int | None:
    """Return the memory limit of this process's control groups, in bytes; None if unlimited."""
    texts = [*_texts(root, "memory.max"), *_texts(root / "memory", "memory.limit_in_bytes")]
    return min((int(text) for text in texts if text.isdigit()), default=None)


def _texts(root: Path, name: str) -> Iterator[str]:
    """Yield a file's text from every group up to the root; a container may see its own group as the root."""
    for folder in _folders(root):
        try:
            yield (folder / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue


def _folders(root: Path) -> Iterator[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    places = {"/"}
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "" or root.name in controllers.split(","):
            places.update({place, *map(str, Path(place).parents)})
    return (root / place.lstrip("/") for place in sorted(places))
