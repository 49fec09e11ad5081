"""Options of a LoadGen scenario."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ....errors import UsageError
from ....option_fields import option
from ....runtime.scheduler.options import StreamOptions
from ....runtime.scheduler.schedules import SCHEDULES, InFlight, Sequential
from .early_stopping import queries_needed

SINGLE_STREAM, OFFLINE, SERVER = "single-stream", "offline", "server"
SCENARIOS = (SINGLE_STREAM, OFFLINE, SERVER)
_PERCENTILES = {SINGLE_STREAM: 90.0}  # those of MLPerf
_PERCENTILE = 99.0


@dataclass(frozen=True)
class ScenarioOptions:
    """A scenario of MLPerf LoadGen, its latency bound, and the extent of each LoadGen run.

    In the server scenario, clips arrive at random (Poisson) and must be answered within ``latency_ms`` at the
    percentile. A clip that has waited for a slot longer than ``max_wait_ms`` is rejected, as by serving systems, and
    counts as a missed query: the limit is never shorter than ``latency_ms``, so LoadGen itself measures a latency
    beyond the bound.

    LoadGen's own minima, 10 s and 100 queries, stay in force: a run with a shorter ``min_duration_s`` is cut off after
    that time, and LoadGen calls it INVALID.
    """

    scenario: str = option("Scenario of MLPerf LoadGen.", default=SERVER, values=lambda: SCENARIOS)
    latency_ms: float = option("Server scenario: latency bound.", default=200.0)
    percentile: float = option(
        "Percentile of the latency.", default=None, show_default="99; 90 for single-stream, as in MLPerf"
    )
    target_qps: float | None = option(
        "Server scenario: only test this arrival rate, in clips per second.",
        default=None,
        show_default="search for the highest rate within the bound",
    )
    slots: int = option("Videos in the batch.", default=None, minimum=1, show_default="8; 1 for sequential")
    schedule: str = option(
        "Batching schedule.",
        default=None,
        values=lambda: SCHEDULES,
        show_default="inflight; sequential for single-stream",
    )
    max_wait_ms: float = option(
        "Server scenario: reject a clip that has waited longer for a slot; it counts as missed.",
        default=None,
        show_default="the latency bound",
    )
    min_duration_s: float = option("Shortest duration of a LoadGen run; below 10 s, it is INVALID.", default=10.0)
    min_queries: int = option(
        "Fewest queries of a LoadGen run; never fewer than 100, LoadGen's minimum.",
        default=None,
        minimum=1,
        show_default="enough for LoadGen's early stopping: 459 for the 99th percentile",
    )
    seed: int = option("Seed of LoadGen's arrival times and order of clips.", default=0, minimum=0)

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise UsageError(f"unknown scenario {self.scenario!r}", f"choose one of {', '.join(SCENARIOS)}")
        alone = self.scenario == SINGLE_STREAM
        self._default("percentile", _PERCENTILES.get(self.scenario, _PERCENTILE))
        self._default("schedule", Sequential.name if alone else InFlight.name)
        self._default("slots", StreamOptions(self.schedule).slots)
        self._default("max_wait_ms", self.latency_ms)
        self._check()
        self._default("min_queries", queries_needed(self.percentile / 100, misses=1 if alone else 0))

    def stream(self) -> StreamOptions:
        """Return the options of the stream that answers the queries."""
        max_wait_s = self.max_wait_ms / 1000 if self.scenario == SERVER else None
        return StreamOptions(self.schedule, self.slots, prefetch=1, max_wait_s=max_wait_s)

    def _default(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        """Raise UsageError if a value is out of range."""
        if not 0 < self.percentile < 100:
            raise UsageError(f"--percentile must be between 0 and 100, got {self.percentile:g}", "for example, 99")
        for flag, value in (
            ("--latency-ms", self.latency_ms),
            ("--min-duration-s", self.min_duration_s),
            ("--target-qps", self.target_qps),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{flag} must be > 0, got {value:g}", f"set {flag} to a positive number")
        if not (math.isfinite(self.max_wait_ms) and self.max_wait_ms >= self.latency_ms):
            raise UsageError(
                f"--max-wait-ms must be at least the latency bound of {self.latency_ms:g} ms, got {self.max_wait_ms:g}",
                "omit --max-wait-ms: LoadGen would count a clip that is rejected earlier as answered in time",
            )
        if self.min_queries is not None and self.min_queries < 1:
            raise UsageError(f"--min-queries must be 1 or more, got {self.min_queries}", "omit --min-queries")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed must be between 0 and 2^63, got {self.seed}", "for example, 0")
        if self.target_qps is not None and self.scenario != SERVER:
            raise UsageError(f"--target-qps has no meaning in the scenario {self.scenario}", "omit --target-qps")
        self.stream().check()
