"""Selection counts losses and costs with a margin, so that a policy chosen on few videos rarely misses its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.replay import random_trace
from vbench.bench.stats.intervals import Interval
from vbench.bench.sweep import selection
from vbench.bench.sweep.accuracy_loss import DropError
from vbench.bench.sweep.operating_points import Point, ReplaySource, evaluate
from vbench.bench.sweep.policy_grid import candidates, full_policy
from vbench.bench.sweep.selection import MARGIN, choose
from vbench.bench.sweep.target import Target
from vbench.bench.sweep.target_check import TargetCheck, check_target
from vbench.bench.sweep.tune import tune
from vbench.bench.trace.replay import exit_steps
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.errors import CheckError
from vbench.runtime.policies.base import Candidate, Policy
from vbench.runtime.policies.rules import Confidence, Fixed

GROUPS = ("gates", "confidence", "fixed")
POINTS = 25


def source(trace: Trace) -> ReplaySource:
    return ReplaySource("run", trace, trace_step_times(trace, "run"))


def chosen(trace: Trace, target: Target, groups: tuple[str, ...] | None = GROUPS) -> Point:
    return choose(source(trace), target, groups, POINTS, lambda _done, _total: None)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return random_trace(400, steps=5)


def brute_force(trace: Trace) -> list[tuple[Point, float, float]]:
    """Return every candidate's point with the bounds of its loss and of its GFLOPs, computed video by video."""
    halves = trace.subset(np.arange(0, len(trace.videos), 2))
    found = []
    full = Candidate("fixed", full_policy(trace).policy)
    for number, each in enumerate([full, *candidates(halves, GROUPS, POINTS)]):
        steps = exit_steps(each.policy, trace)
        lost = trace.hits[-1].astype(float) - trace.hits[steps - 1, np.arange(len(steps))]
        cost = 4.12 * steps
        padded = np.concatenate([lost, [0.5**0.5, -(0.5**0.5)]])  # half a video lost and half a video gained
        error = 100 * np.sqrt((padded**2).sum() - lost.sum() ** 2 / len(padded)) / len(padded)
        margin = 0.0 if number < 2 else MARGIN  # all steps and the default
        (point,) = evaluate(source(trace), [each])
        found.append((point, 100 * lost.mean() + margin * error, cost.mean() + margin * cost.std() / len(steps) ** 0.5))
    return found


@pytest.mark.parametrize("limit", [0.0, 1.0, 3.0, 10.0, 30.0])
def test_the_cheapest_policy_within_a_drop(trace: Trace, limit: float) -> None:
    meeting = [point for point, drop, _ in brute_force(trace) if drop <= limit]
    assert chosen(trace, Target(max_drop=limit)).gmacs == min(point.gmacs for point in meeting)


@pytest.mark.parametrize("limit", [5.0, 9.0, 15.0, 99.0])
def test_the_most_accurate_policy_within_a_cost(trace: Trace, limit: float) -> None:
    best = min((drop, cost) for _, drop, cost in brute_force(trace) if cost <= limit)
    found = chosen(trace, Target(gflops=limit))
    assert best in [(drop, cost) for point, drop, cost in brute_force(trace) if point.policy == found.policy]


def test_a_cost_equal_to_the_limit_is_within_it(trace: Trace) -> None:
    assert chosen(trace, Target(gflops=4.12), ("fixed",)).policy == Fixed(1).record()
    assert chosen(trace, Target(ms=10.0), ("fixed",)).policy == Fixed(1).record()


def test_fitted_thresholds_are_measured_on_other_videos(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, measured = set(), []

    def spied(part: Trace, *args: object) -> list[Candidate]:
        fitted.update(part.videos)
        return candidates(part, *args)  # type: ignore[arg-type]

    def replayed(part: ReplaySource, tried: Sequence[Candidate], *args: object) -> list[Point]:
        measured.extend(part.trace.videos for each in tried if each.searched)
        return evaluate(part, tried, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(selection, "candidates", spied)
    monkeypatch.setattr(selection, "evaluate", replayed)
    chosen(trace, Target(max_drop=5.0), ("searched",))
    assert len(fitted) == 200
    assert measured
    assert {*map(len, measured)} == {200}
    assert all(fitted.isdisjoint(videos) for videos in measured)


def test_the_default_policy_needs_no_margin(trace: Trace) -> None:
    for threshold in (0.5, 0.8, 0.95):
        default = Confidence(threshold)
        steps = exit_steps(default, trace)
        drop = 100 * float((trace.hits[-1].astype(float) - trace.hits[steps - 1, np.arange(400)]).mean())
        drawn = replace(trace, header=replace(trace.header, default_policy=default.record()))
        point = chosen(drawn, Target(max_drop=max(drop, 0.0) + 1e-9), ("patience",))
        assert (point.policy, point.family) == (default.record(), "default")


def test_the_error_of_a_loss_that_no_video_shows_is_not_zero() -> None:
    trace = random_trace(98, steps=5)
    assert DropError(trace).of(Fixed(5)) == pytest.approx(1.0)  # one of 98 + 2 videos, in points


def checked(trace: Trace, policy: Policy, target: Target) -> TargetCheck:
    found = check_target(source(trace), target, policy)
    assert found is not None
    return found


def test_a_target_is_missed_if_the_whole_interval_exceeds_it(trace: Trace) -> None:
    for low, value, state in ((0.5, 0.9, (False, False)), (0.9, 1.5, (True, False)), (1.1, 1.5, (True, True))):
        found = TargetCheck("loss of top-1", "points", value, Interval(low, 9.0), 1.0)
        assert (found.exceeded, found.missed) == state
    cost = 4.12 * exit_steps(Confidence(0.7), trace).astype(float)
    found = checked(trace, Confidence(0.7), Target(gflops=1.0))
    assert found[:3] == ("mean compute", "GFLOPs", pytest.approx(cost.mean()))
    assert found.interval.low == pytest.approx(cost.mean() - 1.96 * cost.std() / 20, rel=0.01)
    assert checked(trace, Confidence(0.7), Target(gflops=found.interval.low - 0.01)).missed
    assert not checked(trace, Confidence(0.7), Target(gflops=found.interval.low + 0.01)).missed
    found = checked(trace, Fixed(2), Target(ms=20.0))
    assert (found.quantity, found.unit, found.value, found.missed) == ("mean latency", "ms", pytest.approx(20), False)
    assert checked(trace, Fixed(2), Target(ms=19.9)).missed
    assert checked(trace, Fixed(1), Target(max_drop=1.0)).missed
    assert not checked(trace, Fixed(5), Target(max_drop=0.0)).exceeded
    in_map = replace(trace, header=replace(trace.header, metric="map"))
    assert checked(in_map, Fixed(1), Target(max_drop=1.0)).quantity == "loss of mAP"
    assert checked(in_map, Fixed(1), Target(max_drop=1.0, delta=0.1)).quantity == "loss of top-1"
    assert check_target(source(replace(trace, labels=(None,) * 400)), Target(max_drop=1.0), Fixed(1)) is None


def naive(part: ReplaySource, target: Target, *_: object) -> Point:
    """Choose the cheapest policy with a small enough loss on the videos that its thresholds were fitted to."""
    full, *others = evaluate(part, [full_policy(part.trace), *candidates(part.trace, None, POINTS)])
    least = (full.accuracy or 0) - target.limit
    within = [point for point in (full, *others) if point.runnable and (point.accuracy or 0) >= least]
    return min(within, key=lambda point: point.gmacs)


def missed(videos: int, seeds: int, choice: Callable[..., Point] | None = None) -> tuple[float, float]:
    """Return the shares of traces whose policy misses a drop of one point: measured, and truly by a point or more.

    The true loss is the loss over the population that the videos are drawn from.
    """
    population = random_trace(10_000, steps=6, seed=10**6)
    places, target = np.arange(10_000), Target(max_drop=1.0)
    misses = losses = 0
    with pytest.MonkeyPatch.context() as patched:
        if choice is not None:
            patched.setattr("vbench.bench.sweep.tune.choose", choice)
        for seed in range(seeds):
            drawn = np.random.default_rng([videos, seed]).choice(places, videos, replace=False)
            found = tune(source(population.subset(drawn)), target, None, POINTS, seed)
            assert found.check is not None
            misses += found.check.missed
            early = population.hits[exit_steps(found.policy, population) - 1, places]
            losses += bool(100 * (population.hits[-1].mean() - early.mean()) > target.limit + 1)
    return misses / seeds, losses / seeds


def test_few_videos_rarely_yield_a_policy_that_misses_its_target() -> None:
    before, after = missed(60, 16, naive), missed(60, 16)
    assert before[0] >= 0.25
    assert before[1] >= 0.75
    assert after[0] == 0
    assert after[1] <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("videos", [50, 200, 1000, 5000])
def test_targets_are_rarely_missed_at_any_size(videos: int) -> None:
    misses, losses = missed(videos, 60)
    assert misses <= 0.05
    assert losses <= 0.15


def test_a_policy_that_is_always_wrong_is_not_chosen(trace: Trace) -> None:
    logits = trace.logits.copy()
    logits[:4] = -9 * np.eye(5, dtype=np.float32)[[label[0] for label in trace.labels if label]]
    wrong = replace(trace, logits=logits)
    assert chosen(wrong, Target(max_drop=100.0), ("fixed",)).accuracy
    with pytest.raises(CheckError, match="every policy within 5 GFLOPs is wrong on all videos"):
        chosen(wrong, Target(gflops=5.0), ("fixed",))
