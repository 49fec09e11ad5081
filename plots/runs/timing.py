"""Times of a run and the settings that they were measured under, read from its record.

Any of them may be missing: a percentile over too few videos is not recorded. A figure obtains a required value through
``require``, which reports a missing one on one line.
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
    """Latency percentiles of ``count`` videos, in milliseconds; None where there were too few videos."""

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    count: int


@dataclass(frozen=True)
class Timing:
    """Times of a run; ``videos`` includes videos without an answer, ``latency_by_step`` starts at step 1."""

    videos: int | None = None
    videos_per_s: float | None = None
    latency: Latency | None = None
    latency_by_step: tuple[Latency | None, ...] = ()


@dataclass(frozen=True)
class Setting:
    """Measurement setting, as legend texts (empty if not recorded); only times from equal settings are comparable."""

    precision: str = ""
    machine: str = ""
    schedule: str = ""

    def engine_text(self, engine: str) -> str:
        """Return the engine name, followed by the precision unless it is fp32."""
        return engine if self.precision in ("", "fp32") else f"{engine} {self.precision}"


def require(value: _T | None, quantity: str, run: str) -> _T:
    """Return ``value``; raise RunError if it is None, naming the quantity and the run."""
    if value is None:
        raise RunError(f"{run}: the run has no {quantity}", "repeat it with at least one readable video")
    return value


def read_timing(metrics: Entries, steps: int) -> Timing:
    """Return the times of a run with ``steps`` exit steps.

    Raises:
        RunError: a recorded time is not a number.
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
    """Return a run's measurement settings, as far as they were recorded."""
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
    # Omit the default (all cores). Engines describe it differently, so read the run's options instead.
    threads = engine.get("threads") or 0
    parts = (
        machine.get("processor"),
        f"{machine['cores']} cores" if "cores" in machine else None,
        ("1 thread" if threads == 1 else f"{threads} threads") if threads else None,
    )
    return ", ".join(str(part) for part in parts if part)


def _schedule_text(schedule: Mapping[str, Any]) -> str:
    """Describe a schedule, such as ``sequential`` or ``inflight, 8 slots``, omitting default read-ahead settings."""
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
