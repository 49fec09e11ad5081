"""CPU and memory limits, such as those of a container, from this process's control groups (versions 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


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


def _texts(root: Path, name: str) -> Iterator[str]:
    """Yield a file's text for every group up to the root; a container may see its own group as the root."""
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
