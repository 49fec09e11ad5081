from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from vbench.bench.sweep.risk_bound import drop_p_value, largest_safe, videos_needed
from vbench.errors import UsageError


def losses(rng: np.random.Generator, videos: int, drop: float, changed: float) -> NDArray[np.int64]:
    """Losses of mean `drop`, of which the share `changed` is not 0."""
    return rng.choice([-1, 0, 1], p=[(changed - drop) / 2, 1 - changed, (changed + drop) / 2], size=videos)


@pytest.mark.parametrize(("changed", "videos"), [(0.0101, 500), (0.05, 300), (0.3, 1000), (1.0, 100)])
def test_p_values_are_valid_at_the_border(changed: float, videos: int) -> None:
    rng = np.random.default_rng(3)
    found = np.array([drop_p_value(losses(rng, videos, 0.0100001, changed), 0.01) for _ in range(1000)])
    for level in (0.01, 0.05, 0.1, 0.3):
        assert np.mean(found <= level) <= level + 2 * math.sqrt(level * (1 - level) / 1000)


@pytest.mark.parametrize("drops", [[0.0, 0.005, 0.015, 0.0200001, 0.03], [0.0200001], [0.03, 0.0], [0.01, 0.021, 0.0]])
def test_promises_are_broken_no_more_often_than_promised(drops: list[float]) -> None:
    rng, broken = np.random.default_rng(4), 0
    for _ in range(1000):
        # Candidates share their videos: the losses of a bolder one come from the same uniform numbers.
        drawn = rng.random(600)
        candidates = [
            np.where(drawn < (0.06 + drop) / 2, 1, np.where(drawn > 1 - (0.06 - drop) / 2, -1, 0)) for drop in drops
        ]
        safe = largest_safe(candidates, epsilon=0.02, delta=0.1)
        broken += any(drop > 0.02 for drop in drops[:safe])
    assert broken / 1000 <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / 1000)


def test_p_value_is_that_of_a_player_who_sees_only_the_past() -> None:
    drawn = losses(np.random.default_rng(6), 400, 0.0, 0.1)
    mean, delta, wealth, richest, seen = (1 + 0.05) / 2, 0.2, 1.0, 1.0, [0.5]
    variance = total = 0.25
    for loss in drawn:
        bet = min(math.sqrt(2 * math.log(1 / delta) / (400 * variance)), 0.75 / (1 - mean))
        value = (loss + 1) / 2
        wealth *= 1 + bet * (mean - value)
        richest = max(richest, wealth)
        seen.append(value)
        total += (value - sum(seen) / len(seen)) ** 2
        variance = total / len(seen)
    assert drop_p_value(drawn, 0.05, delta) == pytest.approx(1 / richest)


def test_safe_exits_are_recognised() -> None:
    rng = np.random.default_rng(5)
    found = [largest_safe([losses(rng, 2000, 0, 0.02)], epsilon=0.01, delta=0.1) for _ in range(200)]
    assert np.mean(found) > 0.8
    assert drop_p_value(np.zeros(5000), 0.01) < 1e-3
    assert drop_p_value(np.ones(500), 0.01) == 1
    assert drop_p_value(np.zeros(0), 0.01) == 1


def test_the_first_failure_ends_the_sequence() -> None:
    asked = []

    def candidates() -> Iterator[NDArray[np.int64]]:
        for loss in (0, 0, 1, 0):
            asked.append(loss)
            yield np.full(1000, loss)

    assert largest_safe(candidates(), 0.02, 0.1) == 2
    assert asked == [0, 0, 1]
    assert largest_safe(np.zeros((3, 1000)), 0.02, 0.1) == 3
    assert largest_safe([], 0.02, 0.1) == 0


@pytest.mark.parametrize(("epsilon", "delta"), [(0.01, 0.1), (0.02, 0.05), (0.3, 0.01), (0.9, 0.9)])
def test_videos_needed_are_just_enough(epsilon: float, delta: float) -> None:
    needed = videos_needed(epsilon, delta)
    assert largest_safe(np.zeros((1, needed)), epsilon, delta) == 1
    assert not any(largest_safe(np.zeros((1, fewer)), epsilon, delta) for fewer in range(max(0, needed - 20), needed))
    assert needed < 2 * math.log(1 / delta) / epsilon + 2


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_shares_outside_are_refused(share: float) -> None:
    for call in (
        lambda: drop_p_value(np.zeros(3), share),
        lambda: largest_safe([], share, 0.1),
        lambda: largest_safe([], 0.1, share),
        lambda: videos_needed(share, 0.1),
        lambda: videos_needed(0.1, share),
    ):
        with pytest.raises(UsageError, match="between 0 and 1"):
            call()


def test_losses_outside_are_refused() -> None:
    for wrong in (np.array([0.0, 2.0]), np.array([np.nan]), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="within"):
            drop_p_value(wrong, 0.01)
