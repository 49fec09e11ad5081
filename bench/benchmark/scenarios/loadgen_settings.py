"""One LoadGen test: LoadGen's settings, and the expectations from which it generates its queries."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .options import OFFLINE, SERVER, SINGLE_STREAM, ScenarioOptions

MIN_DURATION_S = 10.0  # LoadGen's defaults
MIN_QUERIES = 100
_MARGIN = 1.3  # factor on the expected throughput: an offline test with too few clips is too short
_NAMES = {SINGLE_STREAM: "SingleStream", OFFLINE: "Offline", SERVER: "Server"}


@dataclass(frozen=True)
class LoadGenTest:
    """Request to the LoadGen process.

    Attributes:
        scenario: LoadGen's name for the scenario.
        settings: fields of LoadGen's ``TestSettings``.
        samples: number of different clips.
        folder: existing folder for LoadGen's logs.
    """

    scenario: str
    settings: dict[str, int | float]
    samples: int
    folder: str

    def to_json(self) -> str:
        """Return the request as JSON; see `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoadGenTest:
        """Return the request from its JSON text."""
        return cls(**json.loads(text))


def loadgen_test(options: ScenarioOptions, rate: float, samples: int, folder: str) -> LoadGenTest:
    """Return the test of a scenario.

    Args:
        rate: clips per second; the arrival rate in the server scenario, the expected throughput in the others.
        samples: number of different clips.
        folder: existing folder for LoadGen's logs.
    """
    settings = {**_common(options), **_SETTINGS[options.scenario](options, rate)}
    return LoadGenTest(_NAMES[options.scenario], settings, samples, folder)


def _common(options: ScenarioOptions) -> dict[str, int | float]:
    seeds = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
    return {
        "min_duration_ms": round(1000 * max(options.min_duration_s, MIN_DURATION_S)),
        "max_duration_ms": 0 if options.min_duration_s >= MIN_DURATION_S else _milliseconds(options),
        "min_query_count": max(options.min_queries, MIN_QUERIES),
        **dict.fromkeys(seeds, options.seed),
    }


def _single_stream(options: ScenarioOptions, rate: float) -> dict[str, int | float]:
    return {
        # Half the expected latency, to prepare more than enough queries: LoadGen need not issue them all.
        "single_stream_expected_latency_ns": round(1e9 / rate / 2),
        "single_stream_target_latency_percentile": options.percentile / 100,
    }


def _offline(options: ScenarioOptions, rate: float) -> dict[str, int | float]:
    """Return the settings of a test with a single query, whose size alone determines the duration."""
    shortened = min(options.min_duration_s / MIN_DURATION_S, 1.0)
    return {"offline_expected_qps": _MARGIN * rate * shortened, "max_duration_ms": 0}


def _server(options: ScenarioOptions, rate: float) -> dict[str, int | float]:
    return {
        "server_target_qps": rate,
        "server_target_latency_ns": round(1e6 * options.latency_ms),
        "server_target_latency_percentile": options.percentile / 100,
    }


def _milliseconds(options: ScenarioOptions) -> int:
    return max(round(1000 * options.min_duration_s), 1)  # 0 would mean no limit


_SETTINGS = {SINGLE_STREAM: _single_stream, OFFLINE: _offline, SERVER: _server}
