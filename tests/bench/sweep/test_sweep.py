"""Operating points match a plain loop over the videos; Pareto fronts and sweep files."""

from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from tests.replay import flexible_trace, random_trace, save_trace
from vbench.bench.stats.accuracy import hit_at_1, mean_average_precision
from vbench.bench.stats.intervals import map_interval
from vbench.bench.sweep.operating_points import Point, ReplaySource, evaluate, mark_front
from vbench.bench.sweep.policy_grid import candidates
from vbench.bench.sweep.sweep import read_sources, sweep
from vbench.bench.sweep.sweep_file import SWEEP, make_sweep, read_sweep, write_sweep
from vbench.bench.trace.replay import exit_steps, probabilities
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.errors import MissingError, RunError, UsageError
from vbench.runtime.families import FAMILIES
from vbench.runtime.policies.base import Candidate, Policy
from vbench.runtime.policies.cascade import Cascade, FrameCount
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.grid import quantiles
from vbench.runtime.policies.registry import grids_for, policy_of
from vbench.runtime.policies.rules import Confidence, Entropy, Fixed, Patience, PerVideo, Random, draw
from vbench.runtime.policies.threshold_search import objective

STEPS = 6
GROUPS = tuple(grids_for(FAMILIES.get("frameexit").accepts))


def source(trace: Trace, run: str = "run") -> ReplaySource:
    return ReplaySource(run, trace, trace_step_times(trace, run))


def multi_label(videos: int = 60) -> Trace:
    """An mAP trace: several classes per video, none for some, and a class (the last) without a video."""
    trace = random_trace(videos, steps=4, classes=6, metric="map")
    more = [(*(label or ()), (place * 7) % 5) for place, label in enumerate(trace.labels)]
    labels = tuple(None if place % 10 == 3 else tuple({cls % 5 for cls in each}) for place, each in enumerate(more))
    return replace(trace, labels=labels)


def leaves(policy: Policy, trace: Trace, video: int, step: int) -> bool:
    """Reference implementation: whether a policy exits at a step (from 0), except the last."""
    confidence, gate = trace.confidences[step, video], trace.gates[step, video]
    if isinstance(policy, FrameExitPolicy):
        gates = policy.gate_thresholds if len(policy.gate_thresholds) > 1 else policy.gate_thresholds * trace.steps
        return bool(confidence > policy.first_threshold if step == 0 else gate > gates[step - 1])
    if isinstance(policy, Confidence | Cascade):
        return bool(confidence > policy.threshold)
    if isinstance(policy, Entropy):
        return bool(trace.entropies[step, video] < policy.threshold)
    if isinstance(policy, Patience):
        answers = trace.logits[: step + 1, video].argmax(axis=-1).tolist()
        return answers[-policy.times :] == policy.times * answers[-1:]
    if isinstance(policy, Fixed):
        return step + 1 == policy.steps
    if isinstance(policy, Random):
        return draw(policy.seed, trace.videos[video]) < sum(policy.shares[: step + 1])
    assert isinstance(policy, PerVideo)
    return policy.steps.get(trace.videos[video], 99) <= step + 1


def ends_at(policy: Policy, trace: Trace, video: int) -> tuple[int, float, int, int]:
    """Return one video's exit step, GMACs, frames and milliseconds."""
    costs, last = trace.header.costs, trace.steps - 1
    flexible = trace.header.family != "frameexit"
    chosen = policy.frame_counts or costs.frames
    tried = range(last + 1) if not flexible else [costs.frames.index(count) for count in chosen]
    macs = frames = milliseconds = 0
    for step in tried:
        macs += costs.macs[step]
        frames += costs.frames[step]
        milliseconds += (10, 20, 40)[step] if flexible else 10
        ends = step == tried[-1] or leaves(policy, trace, video, step)
        gated = isinstance(policy, FrameExitPolicy)
        if gated and step != last:
            macs += costs.gate_macs[step]
        if ends or isinstance(policy, Confidence | Entropy | Patience) or (gated and step == 0):
            macs += costs.classifier_macs[step]
        if ends:
            return step + 1, macs / 1e9, frames, milliseconds
    raise AssertionError


GATED: Sequence[Policy] = (
    FrameExitPolicy(0.7, (0.6,)),
    FrameExitPolicy(0.9, (0.2, 0.9, 0.5, 0.4)),
    FrameExitPolicy(1.0, (1.0,)),
    *map(Confidence, (0.0, 0.6, 1.0)),
    *map(Entropy, (0.0, 0.5, 1.0)),
    *map(Patience, (1, 2, 6)),
    *map(Fixed, (1, 4, 6)),
    Random((0.1, 0.2, 0.3, 0.0, 0.0, 0.4)),
    PerVideo({f"video{number}": 1 + number % 6 for number in range(90)}),
)
CASCADES: Sequence[Policy] = (
    FrameCount(4),
    FrameCount(16),
    Cascade((4, 16), 0.6),
    Cascade((8, 16), 0.5),
    Cascade((4, 8, 16), 0.7),
)


@pytest.mark.parametrize(
    ("trace", "policies"),
    [(random_trace(100, steps=STEPS), GATED), (flexible_trace(100), CASCADES)],
    ids=["frameexit", "tsm"],
)
def test_points_equal_a_plain_loop(trace: Trace, policies: Sequence[Policy]) -> None:
    labels = (None, (), *trace.labels[2:50], (0, 1, 2), *trace.labels[51:])
    trace = replace(trace, labels=labels)
    points = evaluate(source(trace), [Candidate("any", policy) for policy in policies])
    for policy, point in zip(policies, points):
        videos = [ends_at(policy, trace, video) for video in range(len(trace.videos))]
        steps = [step for step, *_ in videos]
        assert exit_steps(policy, trace).tolist() == steps
        assert point.policy == policy.record()
        assert point.exits == tuple(steps.count(step) for step in range(1, trace.steps + 1))
        _, gmacs, frames, milliseconds = np.mean(videos, axis=0)
        assert point.gmacs == pytest.approx(gmacs)
        assert point.mean_frames == pytest.approx(frames)
        assert point.latency_ms == pytest.approx(milliseconds)
        assert point.videos_per_s == pytest.approx(1000 / milliseconds)
        flexible = trace.header.family == "frame_counts"
        assert point.gflops_paper == (None if flexible else pytest.approx(4.12 * frames))
        right = [
            int(trace.logits[step - 1, video].argmax()) in label
            for video, (step, label) in enumerate(zip(steps, labels))
            if label
        ]
        assert len(right) == 98
        assert point.accuracy == pytest.approx(100 * np.mean(right))
        assert point.interval is not None
        assert point.interval.low < point.accuracy < point.interval.high
    assert len({point.exits for point in points}) >= len(points) / 2  # otherwise the policies would be a weak test


def test_a_trace_whose_default_is_no_rule_of_gates() -> None:
    """Random exits then lack a first threshold; all other groups are replayed."""
    trace = random_trace(30, steps=STEPS)
    other = replace(trace, header=replace(trace.header, default_policy=Patience(2).record()))
    families = [{point.family for point in sweep([source(each)], points=9)} for each in (other, trace)]
    assert families[0] == families[1] - {"random"}
    assert "random" in families[1]


def test_top1_equals_hit_at_1() -> None:
    trace = random_trace(80, steps=STEPS)
    logits = trace.logits.copy()
    logits[2, 7] = np.nan  # a miss
    logits[3, 8] = 0.0  # ties go to the first class
    trace = replace(trace, logits=logits, labels=(None, (), (0, 3), *trace.labels[3:]))
    for steps in range(1, STEPS + 1):
        (point,) = evaluate(source(trace), [Candidate("fixed", Fixed(steps))])
        known = [place for place, label in enumerate(trace.labels) if label]
        wanted = hit_at_1(probabilities(trace, np.full(80, steps))[known], trace.multi_hot[known])
        assert point.accuracy == pytest.approx(100 * wanted)


def test_map_equals_the_metric() -> None:
    trace = multi_label()
    assert not trace.multi_hot[:, 5].any()
    points = sweep([source(trace)], ("confidence", "fixed"), points=8)
    for point in points:
        steps = exit_steps(policy_of(point.policy, ""), trace)
        scores = probabilities(trace, steps)
        assert point.accuracy == pytest.approx(100 * mean_average_precision(scores, trace.multi_hot))
        assert (point.interval is not None) == point.pareto
        if point.interval is not None:
            assert np.array(point.interval) == pytest.approx(100 * np.array(map_interval(scores, trace.multi_hot)))
    assert 1 < sum(point.pareto for point in points) < len(points)


@pytest.mark.parametrize("metric", ["top1", "map"])
def test_without_labels_there_is_compute_and_no_front(metric: str) -> None:
    trace = replace(random_trace(20, metric=metric), labels=(None,) * 20)
    points = sweep([source(trace)], points=9)
    assert {(point.accuracy, point.interval, point.pareto) for point in points} == {(None, None, False)}
    assert len({point.gmacs for point in points}) > 5
    both = sweep([source(trace, "unlabelled"), source(random_trace(20, metric=metric), "labeled")], points=9)
    assert {point.run for point in both if point.pareto} == {"labeled"}


def test_the_front_contains_only_runnable_points() -> None:
    trace = random_trace(400, steps=STEPS)
    points = sweep([source(trace)], points=100)
    oracle = [point for point in points if point.family == "oracle"]
    assert [(point.runnable, point.searched, point.pareto) for point in oracle] == [(False, True, False)]
    assert all(point.runnable for point in points if point.family != "oracle")
    best = max(point.accuracy or 0 for point in points if point.runnable)
    assert best < (oracle[0].accuracy or 0) == pytest.approx(100 * trace.hits.any(axis=0).mean())
    front = [point for point in points if point.pareto]
    for point in points:
        assert point.accuracy is not None
        beaten = any(
            other.gmacs <= point.gmacs
            and (other.accuracy or 0) >= point.accuracy
            and (other.gmacs, other.accuracy) != (point.gmacs, point.accuracy)
            for other in points
            if other.runnable
        )
        assert not (point.pareto and beaten)
        assert point.pareto or not point.runnable or beaten or any(each.gmacs == point.gmacs for each in front)
    assert {point.searched for point in points if point.family == "searched"} == {True}
    assert {point.searched for point in points if point.family not in ("searched", "oracle")} == {False}


def test_an_empty_set_has_an_empty_front() -> None:
    assert mark_front([]) == []


def test_chance_at_equal_cost() -> None:
    trace = random_trace(20_000, steps=STEPS)
    found = candidates(trace, ("random",), 5)[1:]
    for candidate in found:
        assert isinstance(candidate.policy, Random)
        chance, gates = trace.tally(candidate.policy).exits, np.array(candidate.policy.shares) * 20_000
        assert np.abs(chance - gates).max() < 5 * np.sqrt(20_000 * 0.25)
    gates = [policy for policy in (each.policy for each in found) if isinstance(policy, Random)]
    middle = gates[len(gates) // 2]
    same = next(
        counted
        for threshold in quantiles(trace.gates[1:-1], 5)
        if np.allclose((counted := trace.tally(FrameExitPolicy(0.95, (threshold,)))).exits / 20_000, middle.shares)
    )
    blind = sum(share * hits.mean() for share, hits in zip(middle.shares, trace.hits))
    assert trace.tally(middle).right / 20_000 == pytest.approx(blind, abs=0.02)
    assert same.right > trace.tally(middle).right  # gates are better than chance


@pytest.mark.parametrize("points", [1, 2, 3, 10, 100, 1000])
def test_thresholds_follow_the_score_distribution(points: int) -> None:
    trace = random_trace(500, steps=STEPS)
    for family, kind in (("confidence", Confidence), ("entropy", Entropy)):
        found = [each.policy for each in candidates(trace, (family,), points)[1:]]
        values = [policy.threshold for policy in found if isinstance(policy, kind)]
        assert len(found) == len(values) == max(points, 2)
        assert values == sorted(set(values))
        assert (values[0], values[-1]) == (0, 1)
        ends = [trace.tally(policy).exits for policy in (found[0], found[-1])]
        ends = ends if kind is Entropy else ends[::-1]
        assert ends[0].tolist() == [0] * (STEPS - 1) + [500]  # nothing exits
        assert ends[1].tolist() == [500] + [0] * (STEPS - 1)
    pairs = [each.policy for each in candidates(trace, ("gates",), points)[1:]]
    numbers = [(pair.first_threshold, *pair.gate_thresholds) for pair in pairs if isinstance(pair, FrameExitPolicy)]
    assert len(numbers) == len(set(numbers)) == pytest.approx(points, rel=0.1, abs=4)
    assert (1.0, 1.0) in numbers
    assert all(0 <= number <= 1 for pair in numbers for number in pair)


def test_thresholds_of_tied_or_missing_scores() -> None:
    assert quantiles(np.full((3, 50), 0.5), 10) == [0, 0.5, 1]
    assert quantiles(np.full((3, 50), np.nan), 10) == [0, 1]
    assert quantiles(np.array([1 + 1e-9, -1e-9, 0.25]), 3) == [0, 0.25, 1]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(steps: int) -> None:
    trace = random_trace(30, steps=max(steps, 2), seed=1)
    if steps == 1:
        header = replace(trace.header, costs=replace(trace.header.costs, frames=(1,), macs=(9,), gate_macs=(0,)))
        header = replace(header, costs=replace(header.costs, classifier_macs=(1,)))
        names = ("gates", "confidences", "entropies", "predictions", "logits", "elapsed_ms", "latency_ms")
        trace = replace(trace, header=header, **{name: getattr(trace, name)[:1] for name in names})
    points = sweep([source(trace)], points=9)
    families = {point.family for point in points}
    assert families == {"default", *GROUPS} - {"gate_sets"} - ({"searched"} if steps < 3 else set())
    assert all(sum(point.exits) == 30 for point in points)
    assert any(point.pareto for point in points)


def test_a_single_video_of_a_single_class() -> None:
    trace = random_trace(1, steps=4, classes=1)
    points = sweep([source(trace)], points=9)
    assert {point.accuracy for point in points} == {100.0}
    assert [point.mean_frames for point in points if point.pareto] == [1.0]


def test_families_of_each_network() -> None:
    gated, flexible = random_trace(40, steps=4), flexible_trace(40)
    assert {each.group for each in candidates(gated, None, 9)} == {"default", *GROUPS} - {"gate_sets"}
    assert {each.group for each in candidates(flexible, None, 9)} == {"default", "fixed", "cascade"}
    assert [each.group for each in candidates(gated, ("patience",), 9)] == ["default", *["patience"] * 4]
    with pytest.raises(UsageError, match=r"unknown policy group 'gates' for made_up; choose from fixed, cascade$"):
        candidates(flexible, ("fixed", "gates"), 9)
    with pytest.raises(UsageError, match="unknown policy group '' for made_up; choose from gates, searched, "):
        candidates(gated, ("",), 9)
    with pytest.raises(UsageError, match=r"^--points must be >= 1, got 0$"):
        candidates(gated, None, 0)
    with pytest.raises(UsageError, match=r"^--points must be >= 1, got 0$"):
        sweep([source(gated)], points=0)


def test_cascades_are_all_chains_or_those_of_neighbors() -> None:
    trace = flexible_trace(40)
    found = [each.policy for each in candidates(trace, ("cascade",), 40)[1:] if isinstance(each.policy, Cascade)]
    assert {policy.counts for policy in found} == {(4, 8), (4, 16), (8, 16), (4, 8, 16)}
    assert {policy.threshold for policy in found} >= {0.0, 1.0}
    assert len(found) == 40
    counts = tuple(range(2, 9))
    costs = replace(trace.header.costs, frames=counts, macs=counts, gate_macs=counts, classifier_macs=counts)
    many = replace(trace, header=replace(trace.header, costs=costs))
    chains = {each.policy.counts for each in candidates(many, ("cascade",), 9)[1:] if isinstance(each.policy, Cascade)}
    assert len(chains) == 7 * 6 / 2
    assert {(2, 3), counts, (4, 5, 6)} <= chains
    one = replace(trace, header=replace(trace.header, costs=replace(costs, frames=(4,))))
    assert [each.group for each in candidates(one, None, 9)] == ["default", "fixed"]


# For the last one, a search starting without exits ends below the best pair.
@pytest.mark.parametrize(
    ("trace", "points"),
    [
        (random_trace(600, steps=STEPS), 25),
        (random_trace(600, steps=STEPS, seed=1), 100),
        (random_trace(30, steps=8, classes=3, seed=200), 100),
    ],
)
def test_searched_thresholds_improve_on_shared_ones(trace: Trace, points: int) -> None:
    scores = np.vstack([trace.confidences[:1], trace.gates[1:-1]])
    value = trace.hits.astype(np.float64)
    found = candidates(trace, ("gates", "searched"), points)[1:]
    thresholds = {
        family: [
            np.array([each.policy.threshold_at(step) for step in range(1, trace.steps)])
            for each in found
            if each.group == family and isinstance(each.policy, FrameExitPolicy)
        ]
        for family in ("gates", "searched")
    }
    cost = trace.header.costs.macs_at_exit(FrameExitPolicy(1.0)) / 1e9
    better = 0
    assert len(thresholds["searched"]) > 2
    for price in np.geomspace(1e-3, 1, 24) / cost[0]:
        gates, searched = (
            max(objective(scores, value, cost, price, each) for each in thresholds[family])
            for family in ("gates", "searched")
        )
        assert searched >= gates - 1e-9
        better += searched > gates
    assert better > 2


def test_latency_of_a_point_by_hand() -> None:
    trace = random_trace(10, steps=3)
    elapsed = np.repeat([[7.0], [3.0], [2.0]], 10, axis=1)
    latency = np.repeat([[8.0], [12.0], [20.0]], 10, axis=1)  # 8, 4 and 8 for each step
    trace = replace(trace, elapsed_ms=elapsed, latency_ms=latency)
    policy = PerVideo({f"video{number}": 1 if number < 5 else 2 for number in range(8)})  # 5, 3 and 2 videos
    (point,) = evaluate(source(trace), [Candidate("any", policy)])
    assert point.exits == (5, 3, 2)
    assert point.latency_ms == pytest.approx((5 * 8 + 3 * 12 + 2 * 20) / 10)
    assert point.videos_per_s == pytest.approx(1000 / ((5 * 7 + 3 * 10 + 2 * 12) / 10))


def test_time_from_another_run(tmp_path: Path) -> None:
    trace = random_trace(30, steps=4)
    run = save_trace(trace, tmp_path / "run")
    slow = save_trace(
        replace(trace, latency_ms=3 * trace.latency_ms, elapsed_ms=2 * trace.elapsed_ms), tmp_path / "slow"
    )
    plain, timed = (read_sources([run], timing) for timing in (None, slow))
    assert (plain[0].times.source, timed[0].times.source) == (str(run), str(slow))
    for quick, late in zip(sweep(plain, points=9), sweep(timed, points=9)):
        assert late.latency_ms == pytest.approx(3 * quick.latency_ms)
        assert late.videos_per_s == pytest.approx(quick.videos_per_s / 2)
        same = {"latency_ms": 0.0, "videos_per_s": 0.0}
        assert replace(late, **same) == replace(quick, **same)
    with pytest.raises(RunError, match="has 4 steps, but the trace has 3"):
        read_sources([save_trace(flexible_trace(9), tmp_path / "flexible")], run)


def test_nonuniform_steps_have_no_linear_fit(tmp_path: Path) -> None:
    run = save_trace(flexible_trace(9), tmp_path / "run")
    (tmp_path / "timed").mkdir()
    table = {"exit_step": [1, 2, 3], "latency_ms": [1.0, 2.0, 9.0], "elapsed_ms": [1.0, 2.0, 9.0], "error": [None] * 3}
    polars.DataFrame(table).write_parquet(tmp_path / "timed" / "predictions.parquet")
    with pytest.raises(RunError, match=r"the time of a step cannot be determined from .*; use a run with a trace"):
        read_sources([run], tmp_path / "timed")
    gated = save_trace(random_trace(9, steps=3), tmp_path / "gated")
    assert read_sources([gated], tmp_path / "timed")[0].times.latency_ms.shape == (3,)


def test_several_runs_share_one_front(tmp_path: Path) -> None:
    runs = [save_trace(random_trace(200, steps=4, seed=seed), tmp_path / f"run{seed}") for seed in (0, 1)]
    points = sweep(read_sources(runs), ("confidence", "fixed"), points=40)
    alone = [point for run in runs for point in sweep(read_sources([run]), ("confidence", "fixed"), points=40)]
    assert [replace(point, pareto=False) for point in points] == [replace(point, pareto=False) for point in alone]
    front = sorted((point for point in points if point.pareto), key=lambda point: point.gmacs)
    accuracies = [point.accuracy for point in front]
    assert accuracies == sorted(accuracies)
    assert len(set(accuracies)) == len(accuracies)
    assert len(front) < sum(point.pareto for point in alone)
    heard: list[tuple[str, int, int]] = []
    sweep(read_sources(runs), ("fixed",), 9, lambda run, done, total: heard.append((run, done, total)))
    assert heard == [(str(run), done, 5) for run in runs for done in range(1, 6)]


@pytest.mark.parametrize("changed", [{"dataset": "sthv1"}, {"metric": "map"}])
def test_incompatible_runs(changed: dict[str, str], tmp_path: Path) -> None:
    one = random_trace(9, steps=3)
    other = replace(one, header=replace(one.header, **changed))  # type: ignore[arg-type]
    runs = [save_trace(one, tmp_path / "one"), save_trace(other, tmp_path / "other")]
    with pytest.raises(RunError, match=r"other uses .* \(.*\), but .*one uses folder \(top1\)") as caught:
        read_sources(runs)
    assert str(caught.value).endswith("; sweep only runs on the same data set")
    assert "\n" not in str(caught.value)


@pytest.fixture
def points() -> list[Point]:
    return sweep([source(random_trace(60, steps=4))], points=9)


@pytest.mark.parametrize("trace", [random_trace(60, steps=4), multi_label(), flexible_trace(60)])
def test_a_sweep_file_round_trips(trace: Trace, tmp_path: Path) -> None:
    made = make_sweep([source(trace)], sweep([source(trace)], points=9))
    write_sweep(tmp_path / SWEEP, made)
    assert read_sweep(tmp_path / SWEEP) == read_sweep(tmp_path) == made
    assert made.videos == {"run": 60}
    assert made.engines == {"run": "ort"}
    assert made.times_from == {"run": "run"}


def test_sweeps_of_earlier_versions_have_no_labels_of_policies(points: list[Point], tmp_path: Path) -> None:
    path = tmp_path / SWEEP
    made = make_sweep([source(random_trace(60, steps=4))], points)
    write_sweep(path, made)
    about = polars.read_parquet_metadata(path)["vbench.sweep"]
    polars.read_parquet(path).drop("policy_label").write_parquet(path, metadata={"vbench.sweep": about})
    assert read_sweep(path) == made


def test_a_file_without_labels_or_names_that_are_odd(tmp_path: Path) -> None:
    trace = replace(random_trace(3, steps=3), labels=(None,) * 3, videos=("ä/é", 'quo"te', "new\nline"))
    made = make_sweep([source(trace)], sweep([source(trace)], points=4))
    write_sweep(tmp_path / "of several.parquet", made)
    assert read_sweep(tmp_path / "of several.parquet") == made


def test_invalid_sweep_files(points: list[Point], tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"sweep\.parquet does not exist; pass a run folder with a sweep, or a sweep\.parquet"
    ):
        read_sweep(tmp_path)
    path = tmp_path / SWEEP
    write_sweep(path, make_sweep([source(random_trace(60, steps=4))], points))
    whole, about = path.read_bytes(), polars.read_parquet_metadata(path)["vbench.sweep"]
    path.write_bytes(whole[:1000])
    with pytest.raises(RunError, match=r"sweep\.parquet is not readable as Parquet; create it again with vbench sweep"):
        read_sweep(path)
    path.write_bytes(whole)
    table = polars.read_parquet(path)
    for changed in ({"schema_version": 2}, {"schema_version": None}):
        table.write_parquet(path, metadata={"vbench.sweep": json.dumps({**json.loads(about), **changed})})
        with pytest.raises(RunError, match="is not a sweep of schema version 1; create it again"):
            read_sweep(path)
    table.write_parquet(path)
    with pytest.raises(RunError, match="not a sweep of schema version 1"):
        read_sweep(path)
    damaged = [table.drop("gmacs"), table.with_columns(policy=polars.lit("{")), table.with_columns(more=polars.lit(1))]
    damaged.append(table.with_columns(exits=polars.lit(None)))
    for other in damaged:
        other.write_parquet(path, metadata={"vbench.sweep": about})
        with pytest.raises(RunError, match=r"is (damaged|not a valid sweep: .*); create it again with vbench sweep"):
            read_sweep(path)


def test_a_full_disk_leaves_the_old_sweep(points: list[Point], tmp_path: Path) -> None:
    made = make_sweep([source(random_trace(60, steps=4))], points)
    write_sweep(tmp_path / SWEEP, made)
    whole = (tmp_path / SWEEP).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MissingError, match=r"sweep\.parquet: no space left on the disk"):
            write_sweep(tmp_path / SWEEP, made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == [SWEEP]
    assert (tmp_path / SWEEP).read_bytes() == whole
