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
from vbench.bench.sweep import selection
from vbench.bench.sweep import tune as tuning
from vbench.bench.sweep.accuracy_loss import Drop, top1_losses
from vbench.bench.sweep.operating_points import Point, ReplaySource, evaluate
from vbench.bench.sweep.risk_bound import videos_needed
from vbench.bench.sweep.sweep import read_sources
from vbench.bench.sweep.target import Target
from vbench.bench.sweep.tune import TuneResult, tune
from vbench.bench.trace.replay import exit_steps, predictions
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.errors import CheckError, UsageError
from vbench.runtime.policies.base import Candidate
from vbench.runtime.policies.cascade import Cascade, FrameCount
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.policies.registry import read_policy, write_policy
from vbench.runtime.policies.rules import Confidence, Fixed

FAMILIES = ("gates", "confidence", "fixed")
POINTS = 25


def source(trace: Trace) -> ReplaySource:
    return ReplaySource("run", trace, trace_step_times(trace, "run"))


def halves(trace: Trace, seed: int = 0) -> tuple[ReplaySource, ReplaySource]:
    order = np.random.default_rng(seed).permutation(len(trace.videos))
    whole, half = source(trace), len(order) // 2
    return tuple(replace(whole, trace=trace.subset(chosen)) for chosen in (order[:half], order[half:]))  # type: ignore


@pytest.fixture(scope="module")
def trace() -> Trace:
    return random_trace(401, steps=5)


TARGETS = [Target(gflops=9.0), Target(ms=25.0), Target(max_drop=1.0), Target(max_drop=25.0, delta=0.2)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", [0, 3])
def test_no_video_is_both_chosen_and_reported_on(
    trace: Trace, target: Target, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, reported, tested = [], [], []

    def spied(seen: list[tuple[str, ...]]) -> Callable[..., list[Point]]:
        def evaluated(part: ReplaySource, *args: object) -> list[Point]:
            seen.append(part.trace.videos)
            return evaluate(part, *args)  # type: ignore[arg-type]

        return evaluated

    def losses(part: Trace, policy: object) -> object:
        tested.append(part.videos)
        return top1_losses(part, policy)  # type: ignore[arg-type]

    monkeypatch.setattr(selection, "evaluate", spied(chosen))
    monkeypatch.setattr(tuning, "evaluate", spied(reported))
    monkeypatch.setattr(tuning, "top1_losses", losses)
    found = tune(source(trace), target, FAMILIES, POINTS, seed)
    half, held_out = (set(each) for each in reported[:2])  # looked at first, for a network that is always wrong
    assert set(reported[-1]) == held_out
    assert (len(half), len(held_out)) == (200, 201)
    assert half.isdisjoint(held_out)
    assert half | held_out == set(trace.videos)
    assert held_out != set(trace.videos[200:])  # a random half, not the second
    assert len(chosen) == 1
    if target.delta is None:
        assert (found.tested, set(chosen[0]), tested) == (None, half, [])
        return
    ordering, quarter = set(chosen[0]), set(tested[0])
    assert found.tested == len(quarter) == 100
    assert ordering.isdisjoint(quarter)
    assert ordering | quarter == half
    assert {*map(frozenset, tested)} == {frozenset(quarter)}


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


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(gflops=4.0), "^run: no policy stays within 4 GFLOPs; allow at least 4.12$"),
        (Target(ms=9.5), "^run: no policy stays within 9.5 ms; allow at least 10$"),
    ],
)
def test_an_unreachable_target(trace: Trace, target: Target, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tune(source(trace), target, FAMILIES, POINTS)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({}, "expected exactly one target; pass one of --target-gflops, --max-drop, --target-ms"),
        ({"gflops": 1.0, "ms": 1.0}, "expected exactly one target"),
        ({"gflops": 1.0, "max_drop": 1.0, "delta": 0.1}, "expected exactly one target"),
        ({"gflops": -1.0}, "--target-gflops -1 is out of range; choose a number >= 0"),
        ({"ms": float("nan")}, "--target-ms nan is out of range"),
        ({"max_drop": float("inf")}, "--max-drop inf is out of range"),
        ({"gflops": 1.0, "delta": 0.1}, "--delta requires --max-drop; add --max-drop or drop --delta"),
        ({"delta": 0.1}, "expected exactly one target"),
        ({"max_drop": 1.0, "delta": 0.0}, "cannot guarantee a drop of at most 1 points with --delta 0"),
        ({"max_drop": 1.0, "delta": 1.0}, "cannot guarantee a drop"),
        ({"max_drop": 1.0, "delta": float("nan")}, "cannot guarantee a drop"),
        (
            {"max_drop": 0.0, "delta": 0.1},
            "cannot guarantee a drop of at most 0 points .*; choose a drop between 0 and 100",
        ),
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
        CheckError, match=f"{words}.*; record at least {4 * needed} labeled videos, .* needs {needed}$"
    ) as caught:
        tune(source(fewer), target, ("fixed",), 3)
    assert "\n" not in str(caught.value)
    unlabelled = replace(enough, labels=(*enough.labels[: 3 * needed], *[None] * needed))
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
        patched.setattr(tuning, "labeled_points", lambda part, *_: evaluate(part, [Candidate("fixed", Fixed(1))]))
        with pytest.raises(
            CheckError,
            match=r"^cannot guarantee a drop of at most 2 points .* early exits, based on .*; allow a larger drop",
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
    assert np.mean(aimed > epsilon) <= most  # an aim has no guarantee, but a margin
    assert np.mean(promised > epsilon / 4) > 0.5  # and the promise is not kept by doing nothing


def test_the_seed_decides(trace: Trace) -> None:
    target = Target(max_drop=2.0)
    one, again = (tune(source(trace), target, FAMILIES, POINTS, seed=5) for _ in range(2))
    assert one == again
    others = {tune(source(trace), target, FAMILIES, POINTS, seed).held_out.accuracy for seed in range(4)}
    assert len(others) > 1


def test_kinds_of_policies(trace: Trace) -> None:
    assert tune(source(trace), Target(max_drop=3.0), ("confidence",), POINTS).policy.record()["kind"] == "confidence"
    with pytest.raises(UsageError, match="unknown policy group 'wish' for made_up"):
        tune(source(trace), Target(max_drop=1.0), ("wish",), POINTS)
    with pytest.raises(
        UsageError, match=r"^the policy group 'oracle' uses the labels and cannot be run; choose other policies$"
    ):
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
    with pytest.raises(UsageError, match=r"allow at least 4$"):
        tune(source(trace), Target(gflops=3.9), None, POINTS)


def test_mean_average_precision() -> None:
    trace = random_trace(120, steps=4, metric="map")
    found = tune(source(trace), Target(max_drop=30.0), ("confidence", "fixed"), 8)
    assert found.check is not None
    assert found.check.quantity == "loss of mAP"
    assert found.check.value == pytest.approx((found.all_steps.accuracy or 0) - (found.held_out.accuracy or 0))
    assert found.check.interval.low < found.check.value < found.check.interval.high
    assert found.calibration.gmacs < found.all_steps.gmacs
    careful = tune(source(trace), Target(max_drop=0.0), ("confidence", "fixed"), 8)
    assert careful.runs_all_steps
    assert not found.runs_all_steps


def test_too_few_videos_or_classes(trace: Trace) -> None:
    with pytest.raises(UsageError, match=r"^run has no labeled videos; record a data set with labels$"):
        tune(source(replace(trace, labels=(None,) * 401)), Target(max_drop=1.0), FAMILIES, POINTS)
    chosen_on = set(halves(trace)[0].trace.videos)
    labels = tuple(label if video in chosen_on else None for video, label in zip(trace.videos, trace.labels))
    words = r"^run has 200 labeled videos, but only 0 in one of the two halves; record at least 4 labeled videos"
    with pytest.raises(UsageError, match=words):
        tune(source(replace(trace, labels=labels)), Target(max_drop=1.0), FAMILIES, POINTS)
    few = replace(random_trace(3), labels=((0, 1), (1,), (2,)))
    for videos in (1, 2, 3):
        with pytest.raises(UsageError, match=rf"^run has {videos} labeled videos, but only .* record at least 4"):
            tune(source(few.subset(np.arange(videos))), Target(max_drop=1.0))
    one_class = replace(trace, labels=((3,),) * 401)
    with pytest.raises(
        UsageError, match=r"^run: the labeled videos are all of one class; record a run over videos of at least 2"
    ):
        tune(source(one_class), Target(max_drop=1.0), FAMILIES, POINTS)


def test_four_videos_are_enough_to_split() -> None:
    trace = right_at_last(4)
    found = tune(source(trace), Target(max_drop=1.0), FAMILIES, POINTS)
    assert sum(found.calibration.exits) == sum(found.held_out.exits) == 2
    assert isinstance(found.drop, Drop)
    assert found.runs_all_steps


def right_at_last(videos: int) -> Trace:
    """Return a trace of 5 steps whose last step is always right and whose other steps are always wrong."""
    trace = random_trace(videos, steps=5)
    labels = np.array([label[0] for label in trace.labels if label])
    labels[:2] = 0, 1  # two classes
    logits = np.zeros_like(trace.logits)
    logits[:-1, np.arange(videos), (labels + 1) % 5] = 9
    logits[-1, np.arange(videos), labels] = 9
    return replace(trace, labels=tuple((int(label),) for label in labels), logits=logits)


def test_an_accuracy_of_zero_is_rejected() -> None:
    trace = right_at_last(60)
    wrong = replace(trace, logits=np.repeat(trace.logits[:1], 5, axis=0))
    for target in (Target(max_drop=100.0), Target(gflops=99.0), Target(ms=99.0), Target(max_drop=50.0, delta=0.5)):
        with pytest.raises(CheckError, match="the network with all frames is wrong on all labeled videos in one half"):
            tune(source(wrong), target, FAMILIES, POINTS)
    with pytest.raises(CheckError, match=r"^run: every policy within 5 GFLOPs is wrong on all videos "):
        tune(source(trace), Target(gflops=5.0), FAMILIES, POINTS)
    assert tune(source(trace), Target(max_drop=100.0), FAMILIES, POINTS).held_out.accuracy
    # The first step is right for the videos to choose on, and for none of the held-out ones.
    half = halves(trace)[0].trace.videos
    chosen_on = np.array([video in half for video in trace.videos])
    header = replace(trace.header, default_policy=Fixed(1).record())
    mixed = trace.logits.copy()
    mixed[:, chosen_on] = trace.logits[-1, chosen_on]
    with pytest.raises(CheckError, match=r"^run: the chosen policy is wrong on all labeled videos in one half"):
        tune(source(replace(trace, header=header, logits=mixed)), Target(max_drop=1.0), ("fixed",), POINTS)


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


def test_the_default_policy_is_always_a_candidate(trace: Trace) -> None:
    kinds = {
        tune(source(trace), Target(gflops=limit), ("patience",), 10).policy.record()["kind"]
        for limit in np.linspace(5, 41, 25).tolist()
    }
    assert kinds == {"patience", "frameexit", "fixed"}  # so are all frames
    default = replace(trace.header, default_policy={"kind": "confidence", "threshold": 0.5})
    found = tune(source(replace(trace, header=default)), Target(max_drop=90.0), ("patience",), POINTS)
    assert found.default.policy == default.default_policy
    assert found.default == evaluate(halves(trace)[1], [Candidate("default", Confidence(0.5))])[0]
