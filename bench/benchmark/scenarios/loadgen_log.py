"""Result of a LoadGen test, read from LoadGen's logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....errors import RunError
from .loadgen_settings import LoadGenTest

DETAIL = "mlperf_log_detail.txt"
_PREFIX = ":::MLLOG "
_PERCENTILES = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)
_BOUND_MET = "result_perf_constraints_met"
_CHECKS = {  # LoadGen's checks, and what their failure means
    _BOUND_MET: "too many queries exceeded the latency bound",
    "result_min_duration_met": "the run was shorter than LoadGen's minimum duration",
    "result_min_queries_met": "the run had fewer queries than LoadGen's minimum",
}


@dataclass(frozen=True)
class LoadGenRun:
    """What LoadGen measured in one test.

    Attributes:
        folder: folder with LoadGen's logs.
        scenario: LoadGen's name for the scenario.
        target_qps: arrival rate of the server scenario, in queries per second; else None.
        valid: LoadGen's verdict.
        reasons: why it is INVALID.
        holds: server scenario: whether the latency bound holds, as decided by LoadGen's early stopping, or by the
            percentile alone if the run had too few queries for early stopping.
        queries: number of clips.
        missed: queries beyond the latency bound (server).
        rejected: how many of those were rejected because their clip waited too long for a slot.
        samples_per_s: clips per second (offline and server).
        latencies_ms: latency percentiles, by percentile.
        early_stopping_ms: single-stream: LoadGen's estimate of the percentile, which is its official result; None if
            there were too few queries.
    """

    folder: str
    scenario: str
    target_qps: float | None
    valid: bool
    reasons: tuple[str, ...]
    holds: bool
    queries: int
    missed: int
    rejected: int
    samples_per_s: float | None
    latencies_ms: Mapping[float, float]
    early_stopping_ms: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        latencies = {f"p{percentile:g}": value for percentile, value in self.latencies_ms.items()}
        return {**asdict(self), "reasons": list(self.reasons), "latencies_ms": latencies}


def read_run(test: LoadGenTest, rejected: int, fewest: int) -> LoadGenRun:
    """Return the result of a test that has ended; with fewer than ``fewest`` queries, early stopping cannot succeed.

    Raises:
        RunError: LoadGen's log is missing or incomplete.
    """
    path = Path(test.folder, DETAIL)
    try:
        found = _entries(path)
        valid = found["result_validity"] == "VALID"
        queries = int(found["result_query_count"]) * int(found["generated_samples_per_query"])
        return LoadGenRun(
            folder=test.folder,
            scenario=test.scenario,
            target_qps=test.settings.get("server_target_qps"),
            valid=valid,
            reasons=() if valid else _reasons(found),
            holds=bool(found[_BOUND_MET] and (found["early_stopping_met"] or queries < fewest)),
            queries=queries,
            missed=int(found.get("result_overlatency_query_count", 0)),
            rejected=rejected,
            samples_per_s=found.get("result_completed_samples_per_sec", found.get("result_samples_per_second")),
            latencies_ms={each: found[f"result_{each:.2f}_percentile_latency_ns"] / 1e6 for each in _PERCENTILES},
            early_stopping_ms=found.get("early_stopping_latency_ss", 0) / 1e6 or None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"LoadGen's log {path} is incomplete ({error!r})", "run again") from error


def _entries(path: Path) -> dict[str, Any]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [json.loads(line.removeprefix(_PREFIX)) for line in lines if line.startswith(_PREFIX)]
    return {_BOUND_MET: True, **{entry["key"]: entry["value"] for entry in entries}}  # only the server scenario has one


def _reasons(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why a run is INVALID, with LoadGen's explanation of early stopping."""
    failed = [text for key, text in _CHECKS.items() if not found[key]]
    if not found["early_stopping_met"]:
        failed.append("early stopping: " + " ".join(found["early_stopping_result"].replace("*", " ").split()))
    return tuple(failed)
