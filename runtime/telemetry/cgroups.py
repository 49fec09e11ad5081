"""CPU and memory limits of this process's control groups (version 1 or 2), such as a container's, and their effects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_THROTTLED_S = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # the units of versions 2 and 1


def cpu_quota(root: Path = _CGROUPS) -> float | None:
    """Return the CPU quota of this process's control groups, in CPUs; None if unlimited."""
    pairs = [tuple(text.split()[:2]) for text in _texts(root, "cpu.max")]
    pairs += zip(_texts(root / "cpu", "cpu.cfs_quota_us"), _texts(root / "cpu", "cpu.cfs_period_us"))
    found = []
    for pair in pairs:
        with suppress(ValueError, ZeroDivisionError):  # "max", or an unexpected format written by another kernel
            quota, period = map(float, pair)
            found += [quota / period] if quota > 0 else []
    return min(found, default=None)


def memory_limit(root: Path = _CGROUPS) -> int | None:
    """Return the memory limit of this process's control groups, in bytes; None if unlimited."""
    texts = [*_texts(root, "memory.max"), *_texts(root / "memory", "memory.limit_in_bytes")]
    return min((int(text) for text in texts if text.isdigit()), default=None)


def throttled_s(root: Path = _CGROUPS, proc: Path = _PROC) -> float | None:
    """Return how long a CPU quota has stopped this process's control groups so far; None if that is unknown."""
    texts = [*_texts(root, "cpu.stat", proc), *_texts(root / "cpu", "cpu.stat", proc)]
    pairs = [line.split() for text in texts for line in text.splitlines()]
    return max((int(pair[1]) * _THROTTLED_S[pair[0]] for pair in pairs if pair[0] in _THROTTLED_S), default=None)


def memory_stall_s(root: Path = _CGROUPS, proc: Path = _PROC) -> float | None:
    """Return how long at least one task in this process's control group has waited for memory so far.

    If the group does not track this, all tasks on the machine count; None if the kernel does not count stalls.
    """
    texts = list(_texts(root, "memory.pressure", proc))[-1:]  # the innermost group
    if not texts:
        with suppress(OSError):  # a kernel without pressure information, or one in which it is switched off
            texts = [(proc / "pressure" / "memory").read_text(encoding="utf-8")]
    totals = [line.rpartition("total=")[2] for text in texts for line in text.splitlines() if line.startswith("some ")]
    return int(totals[0]) * 1e-6 if totals else None


def _texts(root: Path, name: str, proc: Path = _PROC) -> Iterator[str]:
    """Yield a file's text for every group, from the root down; a container may see its own group as the root."""
    for folder in _folders(root, proc):
        try:
            yield (folder / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue


def _folders(root: Path, proc: Path) -> Iterator[Path]:
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    places = {"/"}
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "" or root.name in controllers.split(","):
            places.update({place, *map(str, Path(place).parents)})
    return (root / place.lstrip("/") for place in sorted(places))
