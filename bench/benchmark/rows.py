"""The table of a benchmark: one row per contender, derived from the raw samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import RunError
from ..records.summary import summarize
from ..records.timing import ENOUGH
from ..records.video_row import VideoRow
from ..stats.ratios import RatioInterval, ratio_interval
from .contender import all_frames_of, original_of, reference_of
from .harness import paired_seconds, seconds_per_video
from .results import WARM_UP, Bench, ContenderResult
from .verdict import BenchVerdict, verdict_on
from .verify import all_checks, answer

SHARES = ("decode", "preprocess", "wait", "backbone", "head", "scheduling")


@dataclass(frozen=True)
class Agreement:
    """Answers compared with the reference's: number of videos whose class or exit step changed."""

    reference: str
    videos: int
    classes_changed: int
    exit_steps_changed: int


@dataclass(frozen=True)
class BenchRow:
    """Everything known about a contender; None where it does not apply or cannot be known.

    Attributes:
        accuracy: in percent, over the labeled videos.
        agreement: None for a reference itself.
        latency_ms: p50, p90 and p99 from ``latencies`` samples; None where there are too few.
        videos_per_s: median over the turns, with the smallest and largest.
        speed_up_original, speed_up_all_frames: ratios of wall-clock times.
        theoretical: theoretical speed-up: multiply-accumulates over all frames, divided by those used.
        efficiency: realized over theoretical speed-up.
        shares: shares of the elapsed time. ``wait``, ``backbone``, ``head`` and ``scheduling`` add up to 1; with
            read-ahead, ``decode`` and ``preprocess`` run concurrently with them.
        joules: per video, used by the GPU or else by the CPU package.
        counted_repeats: those of the ``repeats`` behind all speed figures, see `ContenderResult.counted`.
    """

    name: str
    verdict: BenchVerdict
    engine: str
    precision: str
    procedure: str
    schedule: str
    slots: int
    frames: int | None
    every_step: bool
    failure: str = ""
    accuracy: float | None = None
    agreement: Agreement | None = None
    mean_frames: float | None = None
    gmacs: float | None = None
    latency_ms: dict[str, float | None] | None = None
    latencies: int = 0
    videos_per_s: tuple[float, float, float] | None = None
    speed_up_original: RatioInterval | None = None
    speed_up_all_frames: RatioInterval | None = None
    theoretical: float | None = None
    efficiency: RatioInterval | None = None
    shares: dict[str, float] | None = None
    peak_memory_bytes: int | None = None
    bundle_bytes: int | None = None
    joules: float | None = None
    repeats: int = 0
    counted_repeats: int = 0
    load_s: float | None = None
    warm_up_s: float | None = None


def bench_rows(bench: Bench) -> tuple[BenchRow, ...]:
    """Return the rows of a benchmark, in the order of its contenders."""
    return tuple(_row(bench, result) for result in bench.results)


def _row(bench: Bench, result: ContenderResult) -> BenchRow:
    contender, header = result.contender, bench.header
    agreement, ratios = _agreement(bench, result), _ratios(bench, result)
    widest = max((one.half_width for one in ratios.values() if one is not None), default=None)
    changed = 0 if agreement is None else max(agreement.classes_changed, agreement.exit_steps_changed)
    common: dict[str, Any] = {
        "name": contender.name,
        "verdict": verdict_on(result, all_checks(result), changed, widest, header.options.min_repeats),
        "engine": contender.engine.engine,
        "precision": contender.engine.precision,
        "procedure": contender.procedure,
        "schedule": contender.stream.schedule,
        "slots": contender.stream.slots,
        "frames": contender.frames,
        "every_step": contender.every_step,
        "failure": result.failure,
        "bundle_bytes": header.bundle_bytes.get(contender.engine.precision, header.bundle_bytes.get("fp32")),
        "load_s": result.started and result.started.load_s,
        "warm_up_s": _warm_up_s(result),
    }
    if not result.turns:
        return BenchRow(**common)
    first = list(result.first_rows().values())
    return BenchRow(
        **common,
        accuracy=_accuracy(bench, first),
        agreement=agreement,
        mean_frames=_mean([row.frames_used for row in first]),
        gmacs=_mean([row.gmacs for row in first]),
        **_speed(result),
        **ratios,
        theoretical=_theoretical(bench, result),
        shares=_shares(result),
        peak_memory_bytes=max(turn.peak_memory_bytes for turn in result.turns.values()),
        joules=_joules(result),
        repeats=len(result.measured),
        counted_repeats=len(result.counted),
    )


def _warm_up_s(result: ContenderResult) -> float | None:
    if result.started is None:
        return None
    turn = result.turns.get(WARM_UP)
    return result.started.warm_up_s + (0.0 if turn is None else turn.seconds)


def _agreement(bench: Bench, result: ContenderResult) -> Agreement | None:
    reference = bench.find(reference_of(result.contender, bench.contenders())) if result.turns else None
    if reference is None:
        return None
    own, other = result.first_rows(), reference.first_rows()
    both = [(answer(own[video]), answer(other[video])) for video in own if video in other]
    classes, steps = (sum(one[place] != two[place] for one, two in both) for place in (0, 1))
    return Agreement(reference.contender.name, len(both), classes, steps)


def _accuracy(bench: Bench, rows: Sequence[VideoRow]) -> float | None:
    clips = bench.header.clips
    if not clips.labeled:
        return None
    if clips.metric == "top1":
        right = [row.prediction in row.label for row in rows if row.error is None and row.label]
        return 100 * statistics.fmean(right) if right else None
    try:
        value = summarize(rows, "map", clips.classes, 1, None, clips.categories)["accuracy"]
    except RunError:  # the metric is undefined for these videos
        return None
    return None if value is None else float(value)


def _speed(result: ContenderResult) -> dict[str, Any]:
    turns = list(result.counted.values())
    times = [row.latency_ms for turn in turns for row in turn.answered if row.latency_ms is not None]
    rates = [1 / seconds_per_video(turn) for turn in turns]
    return {
        "latency_ms": {
            f"p{percent}": float(np.percentile(times, percent)) if len(times) >= enough else None
            for percent, enough in ENOUGH.items()
        },
        "latencies": len(times),
        "videos_per_s": (statistics.median(rates), min(rates), max(rates)) if rates else None,
    }


def _ratios(bench: Bench, result: ContenderResult) -> dict[str, Any]:
    contenders = bench.contenders()
    original = bench.find(original_of(result.contender, contenders))
    every = bench.find(all_frames_of(result.contender, contenders))
    speed_up, theoretical = _speed_up(every, result), _theoretical(bench, result)
    efficiency = None
    if speed_up is not None and theoretical:
        efficiency = speed_up.divided_by(theoretical)
    return {
        "speed_up_original": _speed_up(original, result),
        "speed_up_all_frames": speed_up,
        "efficiency": efficiency,
    }


def _speed_up(base: ContenderResult | None, result: ContenderResult) -> RatioInterval | None:
    if base is None or base is result or not base.measured.keys() & result.measured.keys():
        return None
    return ratio_interval(*paired_seconds(base, result))


def _theoretical(bench: Bench, result: ContenderResult) -> float | None:
    every = bench.find(all_frames_of(result.contender, bench.contenders()))
    if every is None:
        return None
    base, own = (_mean([row.gmacs for row in one.first_rows().values()]) for one in (every, result))
    return base / own if base and own else None


def _shares(result: ContenderResult) -> dict[str, float] | None:
    rows = [row for turn in result.counted.values() for row in turn.rows]
    elapsed = sum(row.elapsed_ms for row in rows)
    return {name: sum(getattr(row, f"{name}_ms") for row in rows) / elapsed for name in SHARES} if elapsed else None


def _joules(result: ContenderResult) -> float | None:
    """Return the median joules per video over the turns, used by the GPU or else by the CPU."""
    records = [(turn.gpu or turn.host, len(turn.rows)) for turn in result.counted.values()]
    found = [record.joules / max(videos, 1) for record, videos in records if record and record.joules is not None]
    return statistics.median(found) if found else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(known) if known else None
