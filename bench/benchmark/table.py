"""The table of a benchmark as text, shared by the command line, the report and docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..records.timing import ENOUGH
from ..stats.ratios import RatioInterval
from .recommend import best_rows
from .rows import SHARES, BenchRow

MARK = "*"
_MEGABYTE = 1e6


class TextTable(NamedTuple):
    """A text table: its title, column headings, rows, and number of columns (from the left) that contain words."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


def tables(rows: Sequence[BenchRow], metric: str) -> tuple[TextTable, ...]:
    """Return the tables: speed and answers, latency and resources, time shares, and reasons for verdicts."""
    reasons = [(row.name, row.verdict.name, reason) for row in rows for reason in row.verdict.reasons]
    found = [_speed(rows, metric), _resources(rows), _shares(rows)]
    if reasons:
        found.append(TextTable("reasons for the verdicts", ("contender", "verdict", "reason"), tuple(reasons), words=3))
    return tuple(found)


def notes(rows: Sequence[BenchRow]) -> tuple[str, ...]:
    """Return the explanations that the tables need."""
    found = [
        "* best of its kind; x: ratio of times, with its 95 % interval; efficiency: realized over theoretical (GMACs) "
        "speed-up over all frames"
    ]
    if any(row.shares for row in rows):
        found.append("wait, backbone, heads and scheduling add up to 100 %; decode and preprocess run concurrently")
    few = [f"p{percent} needs {enough} samples" for percent, enough in ENOUGH.items() if _lacks(rows, percent)]
    return (*found, *([f"latencies left out: {', '.join(few)}"] if few else []))


def _lacks(rows: Sequence[BenchRow], percent: int) -> bool:
    return any(row.latency_ms is not None and row.latency_ms[f"p{percent}"] is None for row in rows)


def _speed(rows: Sequence[BenchRow], metric: str) -> TextTable:
    best: dict[str, list[str]] = {}
    for kind, row in best_rows(rows).items():
        best.setdefault(row.name, []).append(kind)
    labeled = any(row.accuracy is not None for row in rows)
    head = (
        "contender",
        "verdict",
        *(["top-1, %" if metric == "top1" else "mAP, %"] if labeled else []),
        "classes / steps changed",
        "frames",
        "GMACs",
        "videos/s",
        "x original",
        "x all frames",
        "efficiency",
    )
    return TextTable("speed and answers", head, tuple(_speed_cells(row, labeled, best) for row in rows), words=2)


def _speed_cells(row: BenchRow, labeled: bool, best: dict[str, list[str]]) -> tuple[str, ...]:
    return (
        row.name + (f" {MARK}{', '.join(best[row.name])}" if row.name in best else ""),
        row.verdict.name,
        *([_number(row.accuracy, 2)] if labeled else []),
        _agreement(row),
        _number(row.mean_frames, 2),
        _number(row.gmacs, 3),
        "" if row.videos_per_s is None else f"{row.videos_per_s[0]:.2f}",
        _ratio(row.speed_up_original),
        _ratio(row.speed_up_all_frames),
        _ratio(row.efficiency),
    )


def _agreement(row: BenchRow) -> str:
    if row.agreement is None:
        return "reference" if row.mean_frames is not None else ""
    return f"{row.agreement.classes_changed} / {row.agreement.exit_steps_changed} of {row.agreement.videos}"


def _ratio(found: RatioInterval | None) -> str:
    """Return a ratio with the half-width of its interval in percent."""
    if found is None:
        return ""
    width = found.half_width
    return f"{found.ratio:.2f} ±{100 * math.expm1(width):.0f} %" if math.isfinite(width) else f"{found.ratio:.2f}"


def _resources(rows: Sequence[BenchRow]) -> TextTable:
    joules = any(row.joules is not None for row in rows)
    head = (
        "contender",
        "p50 / p90 / p99, ms",
        "samples",
        "repeats",
        "load, s",
        "warm-up, s",
        "memory, MB",
        "bundle, MB",
        *(["J/video"] if joules else []),
    )
    return TextTable("latency and resources", head, tuple(_resource_cells(row, joules) for row in rows), words=1)


def _resource_cells(row: BenchRow, joules: bool) -> tuple[str, ...]:
    return (
        row.name,
        _latency(row),
        str(row.latencies or ""),
        str(row.repeats) if row.counted_repeats == row.repeats else f"{row.counted_repeats} of {row.repeats}",
        _number(row.load_s, 1),
        _number(row.warm_up_s, 1),
        "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / _MEGABYTE:.0f}",
        "" if row.bundle_bytes is None else f"{row.bundle_bytes / _MEGABYTE:.1f}",
        *([_number(row.joules, 3)] if joules else []),
    )


def _latency(row: BenchRow) -> str:
    if row.latency_ms is None or row.latencies == 0:
        return ""
    return " / ".join("-" if value is None else f"{value:.3g}" for value in row.latency_ms.values())


def _shares(rows: Sequence[BenchRow]) -> TextTable:
    names = ("heads" if name == "head" else name for name in SHARES)
    head = ("contender", *(f"{name}, %" for name in names))
    cells = [
        (row.name, *(f"{100 * row.shares[name]:.1f}" for name in SHARES)) for row in rows if row.shares is not None
    ]
    return TextTable("shares of time", head, tuple(cells), words=1)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
