"""Simulated samples of an early-exit network, for tests of drift with known truth."""

from __future__ import annotations

import numpy as np

from vbench.bench.compare.drift_run import DriftRun
from vbench.bench.compare.run_pair import ComparedRun
from vbench.bench.stats.two_sample import Sample

STEPS = 10
SIDE = ComparedRun("runs/some", "tiny", "ort", "fp32", 2, {}, "frameexit first=0.95 gate=0.5", {}, {})


def sample(values: object) -> Sample:
    """Return a sample with one value per video."""
    array = np.asarray(values, np.float64)
    return Sample(array, np.arange(len(array)))


def simulated(videos: int, seed: int, harder: float = 0.0, errors: float = 0.02, start: int = 0) -> DriftRun:
    """Return a run whose videos exit once the first confidence or a gate value is high.

    All values of a video depend on its difficulty, as in real networks; ``harder`` is added to every difficulty.
    """
    random = np.random.default_rng(seed)
    failed = int((random.random(videos) < errors).sum())
    difficulty = random.normal(harder, 1, videos - failed)
    noise = random.normal(0, 0.5, (STEPS - 1, len(difficulty)))
    values = 1 / (1 + np.exp(difficulty - 0.3 * np.arange(STEPS - 1)[:, None] + 1 + noise))
    exits = np.vstack([values > np.array([0.6, *[0.5] * (STEPS - 2)])[:, None], np.ones_like(values[:1], np.bool_)])
    steps = exits.argmax(axis=0) + 1
    step, video = np.nonzero(np.arange(2, STEPS)[:, None] <= steps)
    return DriftRun(
        side=SIDE,
        dataset="folder",
        videos=frozenset(f"{start + number}" for number in range(videos)),
        errors=failed,
        traced=False,
        frames=sample(steps),
        decisions=sample(values[0]),
        gates=Sample(values[step + 1, video], video),
        confidences=sample(1 / (1 + np.exp(difficulty - 2))),
    )
