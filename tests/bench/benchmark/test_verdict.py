from __future__ import annotations

import numpy as np

from tests.benches import BUSY, EARLY, ORIGINAL, QUIET, bench, result
from vbench.bench.benchmark import bench_rows


def test_an_undisturbed_measurement_is_rarely_unstable() -> None:
    rng = np.random.default_rng(3)
    unstable = 0
    for _ in range(300):
        base, own = (list(level * np.exp(rng.normal(0, 0.03, 6))) for level in (60.0, 30.0))
        one = result(EARLY, own)
        for number, turn in one.turns.items():
            one.turns[number] = turn.__class__(
                **{**vars(turn), "host": QUIET.__class__(**{**vars(QUIET), "other_cpus": float(rng.exponential(0.04))})}
            )
        unstable += bench_rows(bench([result(ORIGINAL, base), one]))[1].verdict.name != "VALID"
    assert unstable / 300 < 0.05


def test_a_disturbed_measurement_is_always_unstable() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        own = list(30.0 * np.exp(rng.normal(0, 0.03, 6)))
        assert bench_rows(bench([result(EARLY, own, host=BUSY)]))[0].verdict.name == "UNSTABLE"
