"""The times of a run and what they were measured with, as its record has them.

A run may lack any of it: a percentile with too few videos behind it is not recorded. What a figure cannot do without it
asks for with ``require``, which tells what is missing in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ...bench.records.run_file import Entries
from ...errors import RunError

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


def require(value: _T | None, what: str, whose: str) -> _T:
    """Return ``value``; raise RunError if the run of this name (``whose``) does not have it."""
    if value is None:
        raise RunError(f"{whose}: the run has no {what}", "run it again, on at least one video that can be read")
    return value


def read_timing(metrics: Entries, steps: int) -> Timing:
    """Return the times of a run that has so many exit steps.

    Raises:
        RunError: a time is there and is no time.
    """
    videos, by_step = metrics.content.get("videos"), metrics.object_or_empty("latency_by_exit_step_ms")
    numbers = range(1, steps + 1) if by_step.content else ()
    return Timing(
        videos=videos if isinstance(videos, int) else None,
        videos_per_s=metrics.number_or_none("videos_per_s"),
        latency=_latency(metrics, "latency_ms"),
        latency_by_step=tuple(_latency(by_step, str(step)) for step in numbers),
    )


def read_setting(record: Entries) -> Setting:
    """Return what a run was measured with, as far as it says so."""
    engine = record.object_or_empty("config").object_or_empty("engine").content
    machine, schedule = (record.object_or_empty(key).content for key in ("machine", "schedule"))
    return Setting(str(engine.get("precision", "")), _machine_text(machine, engine), _schedule_text(schedule))


def _latency(metrics: Entries, key: str) -> Latency | None:
    found = metrics.object_or_empty(key)
    count = found.content.get("count")
    if not isinstance(count, int):
        return None
    p50, p90, p99 = (found.number_or_none(name) for name in ("p50", "p90", "p99"))
    return Latency(p50, p90, p99, count)


def _machine_text(machine: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    # All cores go without saying; an engine's own words for them differ, so that the run's options are asked.
    threads = engine.get("threads") or 0
    parts = (
        machine.get("processor"),
        f"{machine['cores']} cores" if "cores" in machine else None,
        ("1 thread" if threads == 1 else f"{threads} threads") if threads else None,
    )
    return ", ".join(str(part) for part in parts if part)


def _schedule_text(schedule: Mapping[str, Any]) -> str:
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
