"""The search for a rate, on simulated tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.bench.benchmark.scenarios.loadgen_log import LoadGenRun
from vbench.bench.benchmark.scenarios.search import PRECISION, Search, find_rate


def search(highest: float, throughput: float) -> Search:
    def probe(rate: float) -> LoadGenRun:
        held = rate <= highest
        return LoadGenRun("logs", "Server", rate, held, (), held, 1000, 0, 0, rate, {}, None)

    return find_rate(probe, throughput)


@given(st.floats(0.1, 1000), st.floats(0.1, 20))
def test_the_rate_is_within_the_precision(highest: float, ratio: float) -> None:
    """The throughput may be measured wrong by a large factor in either direction."""
    found = search(highest, highest / ratio if ratio > 1 else highest * 1.2)
    assert found.best is not None
    assert found.best.target_qps is not None
    assert found.best.target_qps <= highest < found.best.target_qps * PRECISION
    assert found.best in found.probes
    assert len(found.probes) <= 16


def test_usual_number_of_probes() -> None:
    assert len(search(90, 100).probes) == 6


def test_no_rate_holds() -> None:
    found = search(1, 100)
    assert found.best is None
    rates = [run.target_qps for run in found.probes]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(100 * 0.8 / 1.5**6)
