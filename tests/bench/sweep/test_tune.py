"""Tuning chooses a policy on one half of the videos and reports on the other; guarantees hold at their level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from tests.replay import flexible_trace, random_trace, record
from vbench.bench.datasets import load_dataset
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import start_run
from vbench.bench.sweep import tune as tuning
from vbench.bench.sweep.operating_points import Point, ReplaySource, evaluate
from vbench.bench.sweep.policy_grid import candidates, full_policy
from vbench.bench.sweep.risk_bound import videos_needed
from vbench.bench.sweep.sweep import read_sources
from vbench.bench.sweep.tune import Drop, Target, TuneResult, tune
from vbench.bench.trace.replay import exit_steps, predictions
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.errors import CheckError, UsageError
from vbench.runtime.policies.base import Candidate
from vbench.runtime.policies.cascade import Cascade, FrameCount
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.policies.registry import read_policy, write_policy
from vbench.runtime.policies.rules import Fixed, Random

FAMILIES = ("gates", "confidence", "fixed")
POINTS = 25


def source(trace: Trace) -> ReplaySource:
    return ReplaySource("run", trace, trace_step_times(trace, "run"))


def halves(trace: Trace, seed: int = 0) -> tuple[ReplaySource, ReplaySource]:
    order = np.random.default_rng(seed).permutation(len(trace.videos))
    whole, half = source(trace), len(order) // 2
    return tuple(replace(whole, trace=trace.subset(chosen)) for chosen in (order[:half], order[half:]))  # type: ignore


def all_points(part: ReplaySource, families: tuple[str, ...] = FAMILIES) -> list[Point]:
    return evaluate(part, [full_policy(part.trace), *candidates(part.trace, families, POINTS)])


@pytest.fixture(scope="module")
def trace() -> Trace:
    return random_trace(401, steps=5)


TARGETS = [Target(gflops=9.0), Target(ms=25.0), Target(max_drop=1.0), Target(max_drop=25.0, delta=0.2)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", [0, 3])
def test_no_video_is_both_chosen_and_reported_on(
    trace: Trace, target: Target, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    tested: list[tuple[str, ...]] = []

    def spied(part: ReplaySource, *args: object) -> list[Point]:
        seen.append(part.trace.videos)
        return evaluate(part, *args)  # type: ignore[arg-type]

    def losses(part: Trace, policy: object, real: Callable[..., object] = tuning._losses) -> object:
        tested.append(part.videos)
        return real(part, policy)

    monkeypatch.setattr(tuning, "evaluate", spied)
    monkeypatch.setattr(tuning, "_losses", losses)
    found = tune(source(trace), target, FAMILIES, POINTS, seed)
    *on, held_out, everything = seen
    chosen_on = set(on[-1])
    assert held_out == everything == tested[-1]
    assert len(chosen_on) == 200
    assert len(held_out) == 201
    assert chosen_on.isdisjoint(held_out)
    assert chosen_on | set(held_out) == set(trace.videos)
    assert set(held_out) != set(trace.videos[200:])  # a random half, not the second
    if target.delta is None:
        assert (found.tested, on, tested) == (None, on[:1], [held_out])
        return
    ordering, quarter = set(on[0]), set(tested[0])
    assert found.tested == len(quarter) == 100
    assert ordering.isdisjoint(quarter)
    assert ordering | quarter == chosen_on
    assert {*map(frozenset, tested[:-1])} == {frozenset(quarter)}


@pytest.mark.parametrize(("seed", "target"), [(seed, target) for seed in (0, 1) for target in TARGETS])
def test_the_report_matches_the_policy(trace: Trace, target: Target, seed: int) -> None:
    found = tune(source(trace), target, FAMILIES, POINTS, seed)
    chosen_on, held_out = halves(trace, seed)
    candidate = Candidate(found.calibration.family, found.policy)
    assert [found.calibration, found.held_out] == [evaluate(part, [candidate])[0] for part in (chosen_on, held_out)]
    assert found.all_steps == evaluate(held_out, [Candidate("fixed", Fixed(5))])[0]
    assert found.drop is not None
    assert found.all_steps.accuracy is not None
    assert found.held_out.accuracy is not None
    assert found.drop.points == pytest.approx(found.all_steps.accuracy - found.held_out.accuracy)
    assert found.drop.interval.low <= found.drop.points <= found.drop.interval.high


@pytest.mark.parametrize("seed", range(3))
def test_the_best_policy_that_meets_the_target_is_chosen(trace: Trace, seed: int) -> None:
    points = all_points(halves(trace, seed)[0])
    full = points[0].accuracy or 0
    for limit in (5.0, 9.0, 15.0, 99.0):
        found = tune(source(trace), Target(gflops=limit), FAMILIES, POINTS, seed).calibration
        assert found.gflops_paper is not None
        assert found.gflops_paper <= limit
        assert found.accuracy == max(each.accuracy or 0 for each in points if (each.gflops_paper or 99) <= limit)
        cheaper = [each for each in points if each.accuracy == found.accuracy]
        assert found.gflops_paper == min(each.gflops_paper or 99 for each in cheaper)
    for limit in (15.0, 30.0):
        found = tune(source(trace), Target(ms=limit), FAMILIES, POINTS, seed).calibration
        assert found.latency_ms <= limit
        assert found.accuracy == max(each.accuracy or 0 for each in points if each.latency_ms <= limit)
    for limit in (0.0, 1.0, 10.0, 100.0):
        found = tune(source(trace), Target(max_drop=limit), FAMILIES, POINTS, seed).calibration
        assert full - (found.accuracy or 0) <= limit
        assert found.gmacs == min(each.gmacs for each in points if (each.accuracy or 0) >= full - limit)


def test_ties_in_cost_go_to_the_most_accurate(trace: Trace) -> None:
    worse = [(0, Fixed(2)), (1, Random((0.0, 1.0, 0.0, 0.0, 0.0)))]  # both cost two steps
    point = all_points(source(trace), ("fixed",))[0]
    made = [replace(point, gmacs=1.0, accuracy=50.0 + add, policy=policy.record()) for add, policy in worse]
    assert tuning._best([point, *made], Target(max_drop=90), source(trace)) == made[1]
    assert tuning._best([point, *reversed(made)], Target(max_drop=90), source(trace)) == made[1]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(gflops=4.0), "^run: no policy takes 4 GFLOPs or less; the minimum is 4.12$"),
        (Target(ms=9.5), "^run: no policy takes 9.5 ms or less; the minimum is 10$"),
    ],
)
def test_an_unreachable_target(trace: Trace, target: Target, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tune(source(trace), target, FAMILIES, POINTS)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({}, "expected exactly one target; give one of --target-gflops, --max-drop, --target-ms"),
        ({"gflops": 1.0, "ms": 1.0}, "expected exactly one target"),
        ({"gflops": 1.0, "max_drop": 1.0, "delta": 0.1}, "expected exactly one target"),
        ({"gflops": -1.0}, "--target-gflops -1 is out of range; give a number >= 0"),
        ({"ms": float("nan")}, "--target-ms nan is out of range"),
        ({"max_drop": float("inf")}, "--max-drop inf is out of range"),
        ({"gflops": 1.0, "delta": 0.1}, "--delta requires --max-drop; add --max-drop or drop --delta"),
        ({"delta": 0.1}, "expected exactly one target"),
        ({"max_drop": 1.0, "delta": 0.0}, "cannot guarantee a drop of 1 points with --delta 0"),
        ({"max_drop": 1.0, "delta": 1.0}, "cannot guarantee a drop"),
        ({"max_drop": 1.0, "delta": float("nan")}, "cannot guarantee a drop"),
        ({"max_drop": 0.0, "delta": 0.1}, "cannot guarantee a drop of 0 points .*; give a drop between 0 and 100"),
        ({"max_drop": 100.0, "delta": 0.1}, "cannot guarantee a drop"),
    ],
)
def test_invalid_targets(numbers: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Target(**numbers)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("epsilon", "delta"), [(10, 0.1), (20, 0.3)])
def test_minimum_number_of_videos_for_a_guarantee(epsilon: float, delta: float) -> None:
    needed = videos_needed(epsilon / 100, delta)
    enough = random_trace(4 * needed, steps=3)
    logits = 9 * np.eye(5, dtype=np.float32)[[label[0] for label in enough.labels if label]]
    enough = replace(enough, logits=np.stack([logits] * 3))  # all are right from the start, so nothing can be lost
    target = Target(max_drop=epsilon, delta=delta)
    found = tune(source(enough), target, ("fixed",), 3)
    assert (found.policy, found.tested) == (Fixed(1), needed)
    fewer = enough.subset(np.arange(4 * needed - 1))
    words = f"^{needed - 1} videos are too few to guarantee a drop of at most {epsilon} points with probability "
    with pytest.raises(
        CheckError, match=f"{words}.*; the test needs at least {needed}, .*: {4 * needed} in total$"
    ) as caught:
        tune(source(fewer), target, ("fixed",), 3)
    assert "\n" not in str(caught.value)
    unlabelled = replace(enough, labels=(*enough.labels[:-40], *[None] * 40))
    with pytest.raises(CheckError, match="videos are too few"):
        tune(source(unlabelled), target, ("fixed",), 3)


def test_a_guarantee_that_the_data_do_not_support() -> None:
    trace = random_trace(4 * videos_needed(0.02, 0.1), steps=3)
    logits = np.zeros_like(trace.logits)
    places = np.arange(len(trace.videos))
    for step in range(3):  # each step is right for a third of the videos, and the last for all
        logits[step, places, [label[0] for label in trace.labels if label]] = (places % 3 == step) | (step == 2)
        logits[step, places, 0] += 0.5
    trace = replace(trace, logits=logits)
    # Remove the full policy, which loses nothing, from the candidates of the ordering quarter.
    families = ("fixed",)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuning, "_points", lambda part, *_: evaluate(part, [Candidate("fixed", Fixed(1))]))
        with pytest.raises(
            CheckError,
            match=r"videos do not establish a drop of at most 2 points .* early exits; allow a larger drop, or record",
        ):
            tune(source(trace), Target(max_drop=2, delta=0.1), families, 3)


@pytest.mark.slow
def test_guarantees_hold_at_their_level() -> None:
    """200 traces from one population; the true loss of a policy is measured on 100,000 other videos."""
    epsilon, delta, traces = 0.1, 0.1, 200
    population = random_trace(100_000, steps=5, seed=10**6)

    def lost(drawn: ReplaySource, promised: float | None) -> float:
        try:
            policy = tune(drawn, Target(max_drop=100 * epsilon, delta=promised), ("confidence",), 20).policy
        except CheckError:
            return float("nan")  # no guarantee
        early = population.hits[exit_steps(policy, population) - 1, np.arange(100_000)]
        return float(population.hits[-1].mean() - early.mean())

    drawn = [source(random_trace(600, steps=5, seed=seed)) for seed in range(traces)]
    promised, aimed = (np.array([lost(each, wanted) for each in drawn]) for wanted in (delta, None))
    most = delta + 2 * math.sqrt(delta * (1 - delta) / traces)
    assert np.mean(promised > epsilon) <= most
    assert np.mean(aimed > epsilon) > most  # an aim is missed more often
    assert np.mean(promised > epsilon / 4) > 0.5  # and the promise is not kept by doing nothing


def test_the_seed_decides(trace: Trace) -> None:
    target = Target(max_drop=2.0)
    one, again = (tune(source(trace), target, FAMILIES, POINTS, seed=5) for _ in range(2))
    assert one == again
    others = {tune(source(trace), target, FAMILIES, POINTS, seed).held_out.accuracy for seed in range(4)}
    assert len(others) > 1


def test_kinds_of_policies(trace: Trace) -> None:
    assert tune(source(trace), Target(max_drop=3.0), ("confidence",), POINTS).policy.record()["kind"] == "confidence"
    with pytest.raises(UsageError, match="there are no policies 'wish' for made_up"):
        tune(source(trace), Target(max_drop=1.0), ("wish",), POINTS)
    with pytest.raises(UsageError, match=r"^the oracle uses the labels and cannot be run; choose other policies$"):
        tune(source(trace), Target(max_drop=1.0), ("gates", "oracle"), POINTS)
    for seed in range(3):
        chosen = tune(source(trace), Target(gflops=6.0), None, POINTS, seed)
        assert chosen.calibration.runnable
        assert chosen.policy.record()["kind"] not in ("random", "planned")


def test_a_frame_flexible_network_gets_frame_counts() -> None:
    trace = flexible_trace(300)
    found = tune(source(trace), Target(ms=35.0), None, POINTS)
    assert isinstance(found.policy, Cascade | FrameCount)
    assert found.calibration.latency_ms <= 35
    assert found.all_steps.mean_frames == 16
    cheapest = tune(source(trace), Target(gflops=4.0), None, POINTS)  # GMACs, where the paper gives no constant
    assert cheapest.calibration.gmacs == 4.0
    with pytest.raises(UsageError, match=r"the minimum is 4$"):
        tune(source(trace), Target(gflops=3.9), None, POINTS)


def test_mean_average_precision() -> None:
    trace = random_trace(120, steps=4, metric="map")
    found = tune(source(trace), Target(max_drop=3.0), ("confidence", "fixed"), 8)
    points = evaluate(
        halves(trace)[0], [full_policy(trace), *candidates(halves(trace)[0].trace, ("confidence", "fixed"), 8)]
    )
    least = (points[0].accuracy or 0) - 3
    assert found.calibration.gmacs == min(point.gmacs for point in points if (point.accuracy or 0) >= least)


def test_videos_without_a_label(trace: Trace) -> None:
    with pytest.raises(UsageError, match=r"^run has no labeled video; record a data set with labels$"):
        tune(source(replace(trace, labels=(None,) * 401)), Target(max_drop=1.0), FAMILIES, POINTS)
    chosen_on = set(halves(trace)[0].trace.videos)
    labels = tuple(label if video in chosen_on else None for video, label in zip(trace.videos, trace.labels))
    found = tune(source(replace(trace, labels=labels)), Target(max_drop=1.0), FAMILIES, POINTS)
    assert (found.drop, found.held_out.accuracy, found.held_out.interval) == (None, None, None)
    assert found.calibration.accuracy is not None


def test_a_single_video_has_no_halves() -> None:
    with pytest.raises(UsageError, match=r"^run has 1 video, too few to split in half; record more videos$"):
        tune(source(random_trace(1)), Target(max_drop=1.0), FAMILIES, POINTS)
    found = tune(source(random_trace(2)), Target(max_drop=1.0), FAMILIES, POINTS)
    assert sum(found.calibration.exits) == sum(found.held_out.exits) == 1
    assert isinstance(found.drop, Drop)


def test_a_tuned_policy_is_obeyed(demo_bundle: Path, tmp_path: Path) -> None:
    recorded = record(demo_bundle, "demo", 60, tmp_path / "trace")
    (drawn,) = read_sources([recorded])
    for target, families in ((Target(gflops=1e9), ("searched",)), (Target(max_drop=10.0), ("entropy",))):
        found: TuneResult = tune(drawn, target, families, 40)
        write_policy(tmp_path / "policy.json", found.policy, {})
        obeyed = PolicyChoice(policy=read_policy(tmp_path / "policy.json"))
        config = RunConfig(str(demo_bundle), data=DataOptions(limit=60), policy=obeyed)
        out = tmp_path / families[0]
        start_run(config, out, "")
        table = polars.read_parquet(out / "predictions.parquet")
        steps = exit_steps(found.policy, drawn.trace)
        assert table["exit_step"].to_list() == steps.tolist()
        assert table["prediction"].to_list() == predictions(drawn.trace, steps).tolist()
        assert len(set(steps.tolist())) > 1
    assert len(load_dataset("demo", None).videos) >= 60


def test_the_default_policy_is_not_chosen_where_other_kinds_were_asked_for() -> None:
    """It stands among the points of every sweep, and beats the few that patience has."""
    found = source(random_trace(400))
    kinds = {
        tune(found, Target(gflops=limit), ("patience",), 10).policy.record()["kind"]
        for limit in np.linspace(5, 41, 25).tolist()
    }
    assert "patience" in kinds
    assert kinds <= {"patience", "fixed"}  # all frames are always there to be chosen
