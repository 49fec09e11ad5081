"""The times of a run and what they were measured with, as its record has them.

A run may lack any of it: a percentile with too few videos behind it is not recorded. What a figure cannot do without it
asks for with ``needed``, which tells what is missing in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ...errors import RunError
from .run_json import get, number_or_none

_T = TypeVar("_T")


@dataclass(frozen=True)
class Latency:
    """Percentiles of the latency of ``count`` videos, in milliseconds; None where they were too few for it."""

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    count: int


@dataclass(frozen=True)
class Timing:
    """How long a run took: ``videos`` counts those without an answer as well; ``latency_by_step`` starts at step 1."""

    videos: int | None = None
    videos_per_s: float | None = None
    latency: Latency | None = None
    latency_by_step: tuple[Latency | None, ...] = ()


@dataclass(frozen=True)
class Setting:
    """What times can be compared under: only those of one setting can. Texts for a legend, empty if not recorded."""

    precision: str = ""
    machine: str = ""
    schedule: str = ""

    def engine_text(self, engine: str) -> str:
        """Return the engine's name, with the precision if it is not fp32."""
        return engine if self.precision in ("", "fp32") else f"{engine} {self.precision}"


def needed(value: _T | None, what: str, whose: str) -> _T:
    """Return ``value``; raise RunError if the run of this name (``whose``) does not have it."""
    if value is None:
        raise RunError(f"{whose}: the run has no {what}", "run it again, on at least one video that can be read")
    return value


def read_timing(run: Path, metrics: Mapping[str, object], steps: int) -> Timing:
    """Return the times of a run that has so many exit steps.

    Raises:
        RunError: a time is there and is no time.
    """
    videos, by_step = metrics.get("videos"), _table(run, metrics, "latency_by_exit_step_ms")
    return Timing(
        videos=videos if isinstance(videos, int) else None,
        videos_per_s=number_or_none(run, metrics, "videos_per_s"),
        latency=_latency(run, metrics, "latency_ms"),
        latency_by_step=tuple(_latency(run, by_step, str(step)) for step in range(1, steps + 1)) if by_step else (),
    )


def read_setting(record: Mapping[str, object]) -> Setting:
    """Return what a run was measured with, as far as it says so."""
    config, machine, schedule = (
        entry if isinstance(entry := record.get(key), Mapping) else {} for key in ("config", "machine", "schedule")
    )
    return Setting(str(config.get("precision", "")), _machine_text(machine, config), _schedule_text(schedule))


def _latency(run: Path, metrics: Mapping[str, object], key: str) -> Latency | None:
    found = _table(run, metrics, key)
    count = found.get("count")
    if not found or not isinstance(count, int):
        return None
    p50, p90, p99 = (number_or_none(run, found, name, key) for name in ("p50", "p90", "p99"))
    return Latency(p50, p90, p99, count)


def _table(run: Path, metrics: Mapping[str, object], key: str) -> Mapping[str, object]:
    table: dict[str, object] = {} if metrics.get(key) is None else get(run, metrics, key, dict)
    return table


def _machine_text(machine: Mapping[str, object], config: Mapping[str, object]) -> str:
    # All cores go without saying; an engine's own words for them differ, so that the run's options are asked.
    threads = config.get("threads") or 0
    parts = (
        machine.get("processor"),
        f"{machine['cores']} cores" if "cores" in machine else None,
        ("1 thread" if threads == 1 else f"{threads} threads") if threads else None,
    )
    return ", ".join(str(part) for part in parts if part)


def _schedule_text(schedule: Mapping[str, object]) -> str:
    """Spell a schedule, such as ``sequential`` or ``inflight, 8 slots``; reading ahead as usual goes without saying."""
    if "schedule" not in schedule:
        return ""
    slots, prefetch, workers = (schedule.get(key, 1) for key in ("slots", "prefetch", "workers"))
    return ", ".join(
        (
            str(schedule["schedule"]),
            *([f"{slots} slots"] if slots != 1 else []),
            *([f"{prefetch} frames ahead"] if prefetch != 1 else []),
            *([f"{workers} readers"] if workers != 1 else []),
            *([f"sync {sync}"] if (sync := schedule.get("sync", "step")) != "step" else []),
        )
    )
