"""Settings that LoadGen receives."""

from __future__ import annotations

import pytest

from vbench.bench.benchmark.scenarios.loadgen_settings import LoadGenTest, loadgen_test
from vbench.bench.benchmark.scenarios.options import ScenarioOptions


def made(options: ScenarioOptions, rate: float = 50.0) -> LoadGenTest:
    test = loadgen_test(options.resolve(), rate, 8, "logs")
    assert LoadGenTest.from_json(test.to_json()) == test
    return test


def test_server() -> None:
    test = made(ScenarioOptions("server", latency_ms=150, percentile=95, min_duration_s=600, seed=3))
    assert (test.scenario, test.samples, test.folder) == ("Server", 8, "logs")
    assert test.settings == {
        "min_duration_ms": 600_000,
        "max_duration_ms": 0,
        "min_query_count": 100,
        "qsl_rng_seed": 3,
        "sample_index_rng_seed": 3,
        "schedule_rng_seed": 3,
        "server_target_qps": 50.0,
        "server_target_latency_ns": 150_000_000,
        "server_target_latency_percentile": 0.95,
    }


@pytest.mark.parametrize("scenario", ["single-stream", "server"])
def test_a_short_test_is_cut_off_and_misses_loadgens_minimum(scenario: str) -> None:
    settings = made(ScenarioOptions(scenario, min_duration_s=0.5)).settings
    assert (settings["min_duration_ms"], settings["max_duration_ms"]) == (10_000, 500)
    assert made(ScenarioOptions(scenario, min_duration_s=1e-9)).settings["max_duration_ms"] == 1


def test_single_stream() -> None:
    test = made(ScenarioOptions("single-stream"))
    assert test.scenario == "SingleStream"
    assert test.settings["single_stream_expected_latency_ns"] == 10_000_000
    assert test.settings["single_stream_target_latency_percentile"] == 0.9


def test_offline() -> None:
    assert made(ScenarioOptions("offline")).settings["offline_expected_qps"] == pytest.approx(65)
    short = made(ScenarioOptions("offline", min_duration_s=1)).settings
    assert short["offline_expected_qps"] == pytest.approx(6.5)
    assert short["max_duration_ms"] == 0


def test_the_least_number_of_queries_suffices_for_early_stopping() -> None:
    assert made(ScenarioOptions("server")).settings["min_query_count"] == 459
    assert made(ScenarioOptions("server", min_queries=2000)).settings["min_query_count"] == 2000
    assert made(ScenarioOptions("server", min_queries=5)).settings["min_query_count"] == 100
