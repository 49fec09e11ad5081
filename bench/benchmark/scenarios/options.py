"""Options of a LoadGen scenario."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

from ....errors import UsageError
from ....option_fields import option
from ....runtime.scheduler.options import StreamOptions
from ....runtime.scheduler.schedules import SCHEDULES, InFlight, Sequential
from .early_stopping import queries_needed

SINGLE_STREAM, OFFLINE, SERVER = "single-stream", "offline", "server"
SCENARIOS = (SINGLE_STREAM, OFFLINE, SERVER)
_MAX_SEED = 2**63 - 1
T = TypeVar("T")


@dataclass(frozen=True)
class ScenarioOptions:
    """An MLPerf LoadGen scenario, its latency bound, and the extent of each LoadGen test.

    In the server scenario, clips arrive at random (Poisson) and must be answered within ``latency_ms`` at the
    percentile. A clip that has waited for a slot longer than ``max_wait_ms`` is rejected, as serving systems do, and
    counts as missed: the limit is at least ``latency_ms``, so the latency that LoadGen measures exceeds the bound.

    LoadGen's own minima, 10 s and 100 queries, stay in force: a test with a shorter ``min_duration_s`` is cut off after
    that time, and LoadGen calls it INVALID.
    """

    scenario: str = option("MLPerf LoadGen scenario.", default=None, values=lambda: SCENARIOS, show_default="none")
    latency_ms: float = option("Server: latency bound.", default=200.0)
    percentile: float = option(
        "Latency percentile.", default=None, show_default="99; 90 for single-stream, as in MLPerf"
    )
    target_qps: float | None = option(
        "Server: test only this arrival rate, in clips per second.",
        default=None,
        show_default="search for the highest rate within the bound",
    )
    max_wait_ms: float = option(
        "Server: reject a clip that has waited longer for a slot; it counts as missed.",
        default=None,
        show_default="the latency bound",
    )
    slots: int = option("Videos in the batch.", default=None, minimum=1, show_default="8; 1 for sequential")
    schedule: str = option(
        "Batching schedule.",
        default=None,
        values=lambda: SCHEDULES,
        show_default="inflight; sequential for single-stream",
    )
    min_duration_s: float = option("Minimum duration of a LoadGen test; below 10 s, it is INVALID.", default=10.0)
    min_queries: int = option(
        "Minimum number of queries of a LoadGen test; never below 100.",
        default=None,
        minimum=1,
        show_default="what LoadGen's early stopping needs: 459 for the 99th percentile",
    )
    seed: int = option("Seed of LoadGen's arrival times and order of clips.", default=0, minimum=0)

    def resolve(self) -> ScenarioOptions:
        """Return the options with all defaults filled in.

        Raises:
            UsageError: a value is unknown or out of range.
        """
        if self.scenario not in SCENARIOS:
            raise UsageError(f"unknown scenario {self.scenario!r}", f"choose one of {', '.join(SCENARIOS)}")
        alone = self.scenario == SINGLE_STREAM
        schedule = self.schedule or (Sequential.name if alone else InFlight.name)
        options = replace(
            self,
            percentile=_or(self.percentile, 90.0 if alone else 99.0),
            max_wait_ms=_or(self.max_wait_ms, self.latency_ms),
            schedule=schedule,
            slots=_or(self.slots, StreamOptions(schedule).slots),
        )
        options._check()
        fewest = queries_needed(options.percentile / 100, misses=1 if alone else 0)
        return replace(options, min_queries=_or(self.min_queries, fewest))

    def stream(self) -> StreamOptions:
        """Return the options of the stream that answers the queries; call it only on resolved options."""
        max_wait_s = self.max_wait_ms / 1000 if self.scenario == SERVER else None
        return StreamOptions(self.schedule, self.slots, prefetch=1, max_wait_s=max_wait_s)

    def _check(self) -> None:
        """Raise UsageError if a value is out of range."""
        self.stream().check()
        _check_positive("--latency-ms", self.latency_ms)
        _check_positive("--min-duration-s", self.min_duration_s)
        _check_positive("--target-qps", self.target_qps)
        if not 0 < self.percentile < 100:
            raise UsageError(f"--percentile must be between 0 and 100, got {self.percentile:g}", "for example, 99")
        if not (math.isfinite(self.max_wait_ms) and self.max_wait_ms >= self.latency_ms):
            raise UsageError(
                f"--max-wait-ms must be at least the latency bound of {self.latency_ms:g} ms, got {self.max_wait_ms:g}",
                "omit it: LoadGen would count a clip that is rejected earlier as answered in time",
            )
        if self.min_queries is not None and self.min_queries < 1:
            raise UsageError(f"--min-queries must be 1 or more, got {self.min_queries}", "omit it")
        if not 0 <= self.seed <= _MAX_SEED:
            raise UsageError(f"--seed must be between 0 and {_MAX_SEED}, got {self.seed}", "for example, 0")
        if self.target_qps is not None and self.scenario != SERVER:
            raise UsageError(f"--target-qps is not an option of the {self.scenario} scenario", "omit it")


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


def _check_positive(flag: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(f"{flag} must be a positive number, got {value:g}", f"for example, {flag} 10")
