from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benches import BUSY, EARLY, INT8, ORIGINAL, bench, result, usual_bench
from vbench.bench.benchmark.bench_folder import BenchFolder
from vbench.bench.benchmark.results import Bench
from vbench.bench.compare.bench_fail_if import check_bench_thresholds, parse_bench_threshold
from vbench.bench.compare.bench_pair import BenchComparison, ContenderDelta, compare_benches
from vbench.bench.compare.verdict import MetricDelta
from vbench.errors import RunError, UsageError

Save = Callable[[str, Bench], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, found: Bench) -> Path:
        folder = BenchFolder(tmp_path / name)
        folder.save(found)
        folder.close()
        return tmp_path / name

    return write


def noisy(level: float, seed: int) -> list[float]:
    return list(level * np.exp(np.random.default_rng(seed).normal(0, 0.01, 6)))


def pair(early: float, *, host: object = None, answers: list[int] | None = None) -> Bench:
    fields = {} if host is None else {"host": host}
    return bench(
        [
            result(ORIGINAL, noisy(60, 1)),
            result(EARLY, noisy(early, 2), answers=answers, **fields),  # type: ignore[arg-type]
            result(INT8, noisy(6, 3)),
        ]
    )


def delta(found: BenchComparison, contender: str, metric: str) -> MetricDelta:
    return next(each for each in named(found, contender).quantities if each.name == metric)


def named(found: BenchComparison, contender: str) -> ContenderDelta:
    return next(each for each in found.contenders if each.name == contender)


def test_equal_benchmarks_are_the_same(save: Save) -> None:
    found = compare_benches(save("one", usual_bench()), save("other", usual_bench()))
    assert {each.verdict for one in found.contenders for each in one.quantities} <= {"SAME", "UNDECIDED"}
    assert found.same_machine
    assert not found.only_before


def test_a_slower_contender_is_worse_and_the_others_are_not(save: Save) -> None:
    found = compare_benches(save("one", pair(30)), save("other", pair(36)))
    rate = delta(found, EARLY.name, "videos_per_s")
    assert rate.verdict == "WORSE"
    assert rate.difference == pytest.approx(100 * (30 / 36 - 1), abs=1)
    assert rate.interval.low < rate.difference < rate.interval.high
    assert delta(found, EARLY.name, "speed_up").verdict == "WORSE"
    assert delta(found, INT8.name, "videos_per_s").verdict == "SAME"
    assert delta(found, EARLY.name, "gmacs").verdict == "SAME"


def test_a_disturbed_measurement_is_unstable_and_never_worse(save: Save) -> None:
    found = compare_benches(save("one", pair(30)), save("other", pair(36, host=BUSY)))
    assert delta(found, EARLY.name, "videos_per_s").verdict == "UNSTABLE"
    assert "other processes used" in named(found, EARLY.name).unstable[0]


def test_raw_times_of_different_machines_are_unstable_but_ratios_are_not(save: Save) -> None:
    other = pair(36)
    other.header = replace(other.header, machine={**other.header.machine, "processor": "another CPU"})
    found = compare_benches(save("one", pair(30)), save("other", other))
    assert not found.same_machine
    assert delta(found, EARLY.name, "videos_per_s").verdict == "UNSTABLE"
    assert delta(found, EARLY.name, "speed_up").verdict == "WORSE"


def test_changed_answers_are_counted(save: Save) -> None:
    found = compare_benches(save("one", pair(30)), save("other", pair(30, answers=[1, 1, 0, 1, 0, 1, 0, 1])))
    assert named(found, EARLY.name).other_answers == 1
    assert delta(found, EARLY.name, "accuracy").difference == pytest.approx(-12.5)


def test_contenders_of_only_one_benchmark_are_named(save: Save) -> None:
    found = compare_benches(save("one", usual_bench()), save("other", pair(30)))
    assert found.only_before == ("ort fp32, sequential, all frames",)


def test_other_clips_are_one_line(save: Save) -> None:
    other = usual_bench()
    other.header = replace(other.header, clips=replace(other.header.clips, dataset="demo"))
    with pytest.raises(RunError, match="not the same ones"):
        compare_benches(save("one", usual_bench()), save("other", other))


def test_nothing_in_common_is_one_line(save: Save) -> None:
    with pytest.raises(RunError, match="no working contender in common"):
        compare_benches(
            save("one", bench([result(EARLY, [30.0] * 6)])), save("other", bench([result(INT8, [30.0] * 6)]))
        )


def test_a_threshold_applies_to_every_contender_with_its_name(save: Save) -> None:
    found = compare_benches(save("one", pair(30)), save("other", pair(36)))
    checked = check_bench_thresholds([parse_bench_threshold("ort fp32/videos_per_s:-5%")], found)
    assert [(each.name, each.failed, each.undecided) for each in checked] == [
        ("ort fp32, sequential/videos_per_s", True, False)
    ]
    passed = check_bench_thresholds([parse_bench_threshold("inflight/videos_per_s:-5%")], found)
    assert [each.failed for each in passed] == [False]


def test_baselines_are_included_only_by_name(save: Save) -> None:
    found = compare_benches(save("one", usual_bench()), save("other", usual_bench()))
    for text, expected in (("sequential/frames:+5%", 1), ("all frames/frames:+5%", 1)):
        assert len(check_bench_thresholds([parse_bench_threshold(text)], found)) == expected


def test_a_threshold_under_unstable_conditions_is_not_decided(save: Save) -> None:
    found = compare_benches(save("one", pair(30)), save("other", pair(36, host=BUSY)))
    checked = check_bench_thresholds([parse_bench_threshold("sequential/videos_per_s:-5%")], found)
    assert [each.undecided for each in checked] == [True]


@pytest.mark.parametrize(
    "wrong", ["videos_per_s:-5%", "/videos_per_s:-5%", "a/speed:-5%", "a/p50:5ms", "a/p50:-x", "a/accuracy:-5%", "a/b"]
)
def test_wrong_thresholds_are_one_line(wrong: str) -> None:
    with pytest.raises(UsageError, match="--fail-if"):
        parse_bench_threshold(wrong)


def test_a_threshold_without_a_contender_is_one_line(save: Save) -> None:
    found = compare_benches(save("one", usual_bench()), save("other", usual_bench()))
    with pytest.raises(UsageError, match="no contender 'trt'"):
        check_bench_thresholds([parse_bench_threshold("trt/videos_per_s:-5%")], found)


def test_equal_noise_is_rarely_better_or_worse(tmp_path: Path) -> None:
    decided = 0
    for seed in range(40):
        benches = []
        for number in (0, 1):
            ms = list(30.0 * np.exp(np.random.default_rng(2 * seed + number).normal(0, 0.02, 6)))
            folder = BenchFolder(tmp_path / f"{seed}_{number}")
            folder.save(bench([result(EARLY, ms)]))
            folder.close()
            benches.append(folder.path)
        decided += delta(compare_benches(*benches), EARLY.name, "videos_per_s").verdict in ("BETTER", "WORSE")
    assert decided / 40 <= 0.15  # 5 % are expected
