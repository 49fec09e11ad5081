"""Options of the scenarios: defaults and bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vbench.bench.benchmark.scenarios.options import ScenarioOptions
from vbench.errors import UsageError


def test_defaults() -> None:
    server = ScenarioOptions("server", latency_ms=50).resolve()
    assert (server.percentile, server.max_wait_ms, server.min_queries) == (99, 50, 459)
    assert (server.schedule, server.slots, server.stream().max_wait_s) == ("inflight", 8, 0.05)
    alone = ScenarioOptions("single-stream").resolve()
    assert (alone.percentile, alone.min_queries, alone.schedule, alone.slots) == (90, 64, "sequential", 1)
    offline = ScenarioOptions("offline", schedule="lockstep", slots=4).resolve()
    assert (offline.stream().schedule, offline.stream().slots, offline.stream().max_wait_s) == ("lockstep", 4, None)


def test_resolving_twice_changes_nothing_and_the_scenario_can_be_replaced() -> None:
    options = ScenarioOptions("server")
    assert options.resolve().resolve() == options.resolve()
    assert replace(options, scenario="single-stream").resolve().percentile == 90


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scenario": "multi-stream"}, "unknown scenario 'multi-stream'; choose one of single-stream, offline, server"),
        ({"scenario": None}, "unknown scenario None"),
        ({"latency_ms": 0}, "--latency-ms must be a positive number, got 0"),
        ({"latency_ms": -1.5}, "--latency-ms must be a positive number, got -1.5"),
        ({"latency_ms": float("nan")}, "--latency-ms must be a positive number, got nan"),
        ({"percentile": 0}, "--percentile must be between 0 and 100, got 0"),
        ({"percentile": 100}, "--percentile must be between 0 and 100, got 100"),
        ({"percentile": float("nan")}, "--percentile must be between 0 and 100, got nan"),
        ({"target_qps": 0}, "--target-qps must be a positive number, got 0"),
        ({"scenario": "offline", "target_qps": 1}, "--target-qps is not an option of the offline scenario"),
        ({"max_wait_ms": 199}, "--max-wait-ms must be at least the latency bound of 200 ms, got 199"),
        ({"max_wait_ms": float("inf")}, "--max-wait-ms must be at least the latency bound of 200 ms, got inf"),
        ({"min_duration_s": 0}, "--min-duration-s must be a positive number, got 0"),
        ({"min_duration_s": float("inf")}, "--min-duration-s must be a positive number, got inf"),
        ({"min_queries": 0}, "--min-queries must be 1 or more, got 0"),
        ({"seed": -1}, "--seed must be between 0 and"),
        ({"slots": 0}, "--slots must be 1 or more, got 0"),
        ({"schedule": "sequential", "slots": 2}, "the sequential schedule requires 1 slot, got 2"),
        ({"schedule": "fast"}, "unknown schedule 'fast'"),
    ],
)
def test_bad_input(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ScenarioOptions(**{"scenario": "server", **given}).resolve()
    assert str(caught.value).startswith(message)
    assert caught.value.hint
