"""Compare two benchmarks contender by contender, for example today's with the last release's.

Raw times depend on the machine; ratios to the original, which was measured in the same repetitions, barely do. Both
have intervals over the repetitions. A time is UNSTABLE instead of BETTER or WORSE if a measurement was disturbed or
the machines differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import RunError
from ..benchmark import bench_rows, read_bench
from ..benchmark.contender import all_frames_of, original_of
from ..benchmark.harness import paired_seconds, seconds_per_video
from ..benchmark.results import Bench, ContenderResult
from ..benchmark.rows import BenchRow
from ..stats.intervals import Interval
from ..stats.ratios import t_quantile
from .verdict import ACCURACY_MARGIN, COST_MARGIN, MetricDelta, verdict

_FEWEST_TURNS = 2


class BenchMetric(NamedTuple):
    """A metric of contenders: its unit, whether more is better, and whether it depends on the machine's load."""

    unit: str
    more_is_better: bool
    timed: bool


BENCH_METRICS = {
    "videos_per_s": BenchMetric("", more_is_better=True, timed=True),
    "p50": BenchMetric("ms", more_is_better=False, timed=True),
    "speed_up": BenchMetric("x", more_is_better=True, timed=True),
    "efficiency": BenchMetric("", more_is_better=True, timed=True),
    "accuracy": BenchMetric("%", more_is_better=True, timed=False),
    "frames": BenchMetric("", more_is_better=False, timed=False),
    "gmacs": BenchMetric("", more_is_better=False, timed=False),
}
"""``speed_up`` is relative to the original procedure, ``efficiency`` to all frames; see ``BenchRow``."""
_RAW = ("videos_per_s", "p50")


@dataclass(frozen=True)
class ContenderDelta:
    """A contender in both benchmarks: its metrics, and reasons why its times cannot be compared."""

    name: str
    quantities: tuple[MetricDelta, ...]
    unstable: tuple[str, ...]
    other_answers: int


@dataclass(frozen=True)
class BenchComparison:
    """Two benchmarks: the contenders in both, and the names of those in only one."""

    before: str
    after: str
    contenders: tuple[ContenderDelta, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    same_machine: bool


def compare_benches(before: Path, after: Path) -> BenchComparison:
    """Compare the benchmarks in two folders.

    Raises:
        RunError: one cannot be read, they ran different clips, or they have no working contender in common.
    """
    one, other = read_bench(before), read_bench(after)
    _require_same_clips(before, after, one, other)
    same_machine = one.header.machine == other.header.machine
    names = [[result.contender.name for result in bench.working] for bench in (one, other)]
    common = [name for name in names[0] if name in names[1]]
    if not common:
        raise RunError(f"{before} and {after} have no working contender in common", "see their tables")
    rows = [{row.name: row for row in bench_rows(bench)} for bench in (one, other)]
    return BenchComparison(
        str(before),
        str(after),
        tuple(_contender(name, (one, other), (rows[0][name], rows[1][name]), same_machine) for name in common),
        tuple(name for name in names[0] if name not in common),
        tuple(name for name in names[1] if name not in common),
        same_machine,
    )


def _require_same_clips(before: Path, after: Path, one: Bench, other: Bench) -> None:
    videos = [
        {row.video for result in bench.working[:1] for row in result.first_rows().values()} for bench in (one, other)
    ]
    if one.header.clips.dataset != other.header.clips.dataset or videos[0] != videos[1]:
        raise RunError(
            f"{before} ran {len(videos[0])} videos of {one.header.clips.dataset}, {after} {len(videos[1])} of "
            f"{other.header.clips.dataset}, not the same ones",
            "repeat one of them with the same --dataset or --clips and --limit",
        )


def _contender(
    name: str, benches: tuple[Bench, Bench], rows: tuple[BenchRow, BenchRow], same_machine: bool
) -> ContenderDelta:
    results = [next(one for one in bench.working if one.contender.name == name) for bench in benches]
    unstable = tuple(
        f"{when}, {reason}"
        for when, row in zip(("before", "after"), rows)
        if row.verdict.name != "VALID"
        for reason in row.verdict.reasons
    )
    found = [*_timed(benches, results), *_exact(rows)]
    deltas = tuple(_stable(delta, same_machine=same_machine, disturbed=bool(unstable)) for delta in found)
    first = [result.first_rows() for result in results]
    changed = sum(
        (row.prediction, row.exit_step) != (first[1][video].prediction, first[1][video].exit_step)
        for video, row in first[0].items()
        if video in first[1]
    )
    return ContenderDelta(name, deltas, unstable, changed)


def _stable(delta: MetricDelta, *, same_machine: bool, disturbed: bool) -> MetricDelta:
    machine_matters = delta.name in _RAW and not same_machine
    if BENCH_METRICS[delta.name].timed and delta.verdict in ("BETTER", "WORSE") and (disturbed or machine_matters):
        return replace(delta, verdict="UNSTABLE")
    return delta


def _timed(benches: tuple[Bench, Bench], results: Sequence[ContenderResult]) -> list[MetricDelta]:
    """Return the deltas of the metrics that vary between repetitions."""
    values: dict[str, Callable[[Bench, ContenderResult], list[float]]] = {
        "videos_per_s": lambda _, result: [1 / seconds_per_video(turn) for turn in result.counted.values()],
        "p50": lambda _, result: _medians(result),
        "speed_up": lambda bench, result: _ratios(
            bench.find(original_of(result.contender, bench.contenders())), result
        ),
        "efficiency": _efficiencies,
    }
    found = []
    for name, of in values.items():
        before, after = (of(bench, result) for bench, result in zip(benches, results))
        if min(len(before), len(after)) >= _FEWEST_TURNS:
            found.append(_delta(name, before, after))
    return found


def _medians(result: ContenderResult) -> list[float]:
    found = []
    for turn in result.counted.values():
        times = [row.latency_ms for row in turn.answered if row.latency_ms]
        found += [float(np.median(times))] if times else []
    return found


def _ratios(base: ContenderResult | None, result: ContenderResult) -> list[float]:
    if base is None or base is result:
        return []
    return [one / other for one, other in zip(*paired_seconds(base, result))]


def _efficiencies(bench: Bench, result: ContenderResult) -> list[float]:
    every = bench.find(all_frames_of(result.contender, bench.contenders()))
    row = next(row for row in bench_rows(bench) if row.name == result.contender.name)
    return [ratio / row.theoretical for ratio in _ratios(every, result)] if row.theoretical else []


def _delta(name: str, before: Sequence[float], after: Sequence[float]) -> MetricDelta:
    """Return the delta of the geometric means of two independent samples, with Welch's interval for the logarithms."""
    metric = BENCH_METRICS[name]
    logs = [np.log(values) for values in (before, after)]
    means, errors = [float(each.mean()) for each in logs], [float(each.var(ddof=1)) / len(each) for each in logs]
    half = 0.0
    if sum(errors) > 0:
        freedom = sum(errors) ** 2 / sum(error**2 / (len(each) - 1) for error, each in zip(errors, logs))
        half = t_quantile(max(1, math.floor(freedom))) * math.sqrt(sum(errors))
    change = means[1] - means[0]
    interval = Interval(100 * math.expm1(change - half), 100 * math.expm1(change + half))
    fewest = min(len(before), len(after))
    said = verdict(interval, COST_MARGIN, metric.more_is_better, fewest if fewest < _FEWEST_TURNS else 6)
    one, other = (math.exp(mean) for mean in means)
    percent = 100 * math.expm1(change)
    return MetricDelta(name, metric.unit, one, other, percent, "%", interval, COST_MARGIN, said, fewest)


def _exact(rows: tuple[BenchRow, BenchRow]) -> list[MetricDelta]:
    """Return the deltas of the metrics that are the same in every repetition: accuracy in points, cost in percent."""
    found = []
    for name, field in (("accuracy", "accuracy"), ("frames", "mean_frames"), ("gmacs", "gmacs")):
        before, after = (getattr(row, field) for row in rows)
        if before is None or after is None:
            continue
        points = name == "accuracy"
        difference = after - before if points else 100 * (after / before - 1) if before else 0.0
        margin = ACCURACY_MARGIN if points else COST_MARGIN
        interval = Interval(difference, difference)
        said = verdict(interval, margin, BENCH_METRICS[name].more_is_better, 6)
        unit = "points" if points else "%"
        found.append(
            MetricDelta(name, BENCH_METRICS[name].unit, before, after, difference, unit, interval, margin, said, 6)
        )
    return found
