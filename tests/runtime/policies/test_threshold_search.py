from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vbench.runtime.policies.threshold_search import NEVER, objective, search_thresholds

Floats = NDArray[np.float64]
Problem = tuple[Floats, Floats, Floats, float, Floats]

SCORES = (0.0, 0.25, np.nextafter(0.25, 1), 0.5, 0.9, 1.0, np.nan)
# Between any two of SCORES, and both ends; the lower of two neighbors separates them as well.
CUTS = (0.0, 0.1, 0.25, 0.4, 0.7, 0.95, 1.0)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    steps, videos = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    few = st.lists(st.sampled_from(SCORES), min_size=videos * (steps - 1), max_size=videos * (steps - 1))
    right = st.lists(st.booleans(), min_size=videos * steps, max_size=videos * steps)
    scores = np.array(draw(few), dtype=np.float64).reshape(steps - 1, videos)
    value = np.array(draw(right), dtype=np.float64).reshape(steps, videos)
    start = np.array([draw(st.sampled_from(CUTS)) for _ in range(steps - 1)])
    return scores, value, np.arange(1.0, steps + 1), draw(st.sampled_from([0.0, 0.125, 0.5, 2.0])), start


@settings(max_examples=200)
@given(problems())
def test_no_single_threshold_can_be_improved(problem: Problem) -> None:
    scores, value, cost, price, start = problem
    found = search_thresholds(scores, value, cost, price, start, rounds=100)
    reached = objective(scores, value, cost, price, found)
    assert reached >= objective(scores, value, cost, price, start)
    assert np.all((found >= 0) & (found <= 1))
    for step, cut in itertools.product(range(len(found)), CUTS):
        other = found.copy()
        other[step] = cut
        assert objective(scores, value, cost, price, other) <= reached + 1e-9


@settings(max_examples=100)
@given(problems())
def test_two_steps_are_solved_exactly_and_more_never_beyond_the_best(problem: Problem) -> None:
    scores, value, cost, price, start = problem
    combinations = itertools.product(CUTS, repeat=len(scores))
    best = max(objective(scores, value, cost, price, np.array(cuts)) for cuts in combinations)
    reached = objective(scores, value, cost, price, search_thresholds(scores, value, cost, price, start))
    assert reached <= best + 1e-9
    if len(scores) <= 1:
        assert reached == pytest.approx(best)


def recorded(steps: int, videos: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Scores that tell right from wrong answers better with every step."""
    rng = np.random.default_rng(seed)
    value = (rng.random((steps, videos)) < np.linspace(0.5, 0.8, steps)[:, None]).astype(np.float64)
    scores = 1 / (1 + np.exp(-rng.normal(size=(steps - 1, videos)) - 2 * value[:-1]))
    return scores, value, np.arange(1.0, steps + 1)


def test_every_sweep_gains() -> None:
    scores, value, cost = recorded(6, 500)
    start = np.full(5, 0.9)
    gains = [
        objective(scores, value, cost, 0.05, search_thresholds(scores, value, cost, 0.05, start, rounds=rounds))
        for rounds in range(8)
    ]
    assert gains[0] == objective(scores, value, cost, 0.05, start)
    assert gains == sorted(gains)
    assert gains[-1] > gains[0]


@pytest.mark.parametrize("price", [0.0, 0.01, 0.05, 0.2])
def test_never_worse_than_the_best_common_threshold(price: float) -> None:
    scores, value, cost = recorded(5, 300, seed=1)
    common = [np.full(4, cut) for cut in np.linspace(0, 1, 51)]
    rated = [objective(scores, value, cost, price, cuts) for cuts in common]
    start = common[int(np.argmax(rated))]
    found = search_thresholds(scores, value, cost, price, start)
    assert objective(scores, value, cost, price, found) >= max(rated)
    np.testing.assert_array_equal(search_thresholds(scores, value, cost, price, start, rounds=0), start)


def test_thresholds_lie_midway() -> None:
    scores = np.array([[0.2, 0.4, 0.8, np.nan]])
    value = np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    cost = np.array([1.0, 2.0])
    assert search_thresholds(scores, value, cost, 0.1, np.array([NEVER])) == pytest.approx([0.6])
    assert search_thresholds(scores, value, cost, 5.0, np.array([NEVER])) == [0.0]  # every score exits, NaN stays


def test_neighbouring_numbers_are_parted() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    value = np.array([[0.0, 1.0], [1.0, 1.0]])
    found = search_thresholds(np.array([[low, high]]), value, np.array([1.0, 2.0]), 0.1, np.array([NEVER]))
    assert low <= found[0] < high


def test_scores_of_nan_go_to_the_end() -> None:
    scores, value, cost = np.full((2, 3), np.nan), np.ones((3, 3)), np.array([1.0, 2.0, 3.0])
    start = np.array([0.5, 0.5])
    np.testing.assert_array_equal(search_thresholds(scores, value, cost, 1.0, start), start)
    assert objective(scores, value, cost, 1.0, start) == 3 * (1 - 3)


def test_nothing_exits_where_it_does_not_pay() -> None:
    scores, value = np.array([[0.2, 0.9]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    assert search_thresholds(scores, value, np.array([1.0, 2.0]), 0.1, np.array([0.0])) == [NEVER]


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="inconsistent shapes"):
        search_thresholds(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2), 0.0, np.zeros(1))
