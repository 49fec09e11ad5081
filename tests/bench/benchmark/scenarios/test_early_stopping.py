"""The number of queries that early stopping needs, as LoadGen states it in its logs."""

from __future__ import annotations

import pytest

from vbench.bench.benchmark.scenarios.early_stopping import queries_needed


@pytest.mark.parametrize(
    ("share", "misses", "queries"),
    [(0.8, 1, 31), (0.9, 0, 44), (0.9, 1, 64), (0.99, 0, 459), (0.99, 1, 662), (0.995, 1, 1325)],
)
def test_queries_needed(share: float, misses: int, queries: int) -> None:
    assert queries_needed(share, misses) == queries


def test_extreme_percentiles_take_no_time() -> None:
    assert queries_needed(0.01, 0) == 1
    assert queries_needed(1 - 1e-9, 0) == pytest.approx(4.6e9, rel=0.01)
