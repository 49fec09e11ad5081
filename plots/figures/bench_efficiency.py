"""Efficiency of a benchmark's contenders: the realized share of the theoretical speed-up over all frames.

A contender without early exits, or without a baseline to compare it with, has no efficiency and no bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...bench.benchmark import BenchRow
from ...bench.stats.ratios import RatioInterval
from ...errors import RunError
from .bench_contenders import (
    UNSTABLE_HATCH,
    ShownBench,
    add_notes,
    bar_chart,
    label_rows,
    looks,
    note_lines,
    unstable,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOTE = "Efficiency: realized over theoretical speed-up (right), relative to the same contender with all frames."
_LEAST_TOP = 1.1


def bench_efficiency_figure(shown: ShownBench) -> Figure:
    """Build the efficiency bars, with a line at 1, where all the compute saved is also time saved.

    Raises:
        RunError: no contender has an efficiency.
    """
    from .style import figure_style

    found = [row for row in shown.rows if row.efficiency is not None]
    if not found:
        raise RunError("no contender has an efficiency, because none saves compute", "plot a network with early exits")
    notes = note_lines([_NOTE, *shown.notes])
    with figure_style():
        figure, axes = bar_chart(found, len(notes))
        _draw(axes, found, [look.color for row, look in zip(shown.rows, looks(shown.rows)) if row in found])
        axes.axvline(1.0, color="#6E6E6E", linestyle="--", linewidth=1.0, zorder=1.5)
        axes.set_xlim(0, 1.05 * max(_LEAST_TOP, *(_end(row) for row in found)))
        axes.set_xlabel("Efficiency, with its 95 % interval")
        label_rows(axes, "Speed-up", [_speed_up(row) for row in found])
        add_notes(figure, notes)
    return figure


def _draw(axes: Axes, rows: Sequence[BenchRow], colors: Sequence[str]) -> None:
    for place, (row, color) in enumerate(zip(rows, colors)):
        interval = _efficiency(row)
        face, hatch = ("white", UNSTABLE_HATCH) if unstable(row) else (color, None)
        axes.barh(place, interval.ratio, 0.66, color=face, edgecolor=color, hatch=hatch, linewidth=0.8)
        if math.isfinite(interval.high):
            ends = [[interval.ratio - interval.low], [interval.high - interval.ratio]]
            axes.errorbar(interval.ratio, place, xerr=ends, color="black", linewidth=1.0, capsize=2.5)


def _efficiency(row: BenchRow) -> RatioInterval:
    assert row.efficiency is not None
    return row.efficiency


def _end(row: BenchRow) -> float:
    interval = _efficiency(row)
    return interval.high if math.isfinite(interval.high) else interval.ratio


def _speed_up(row: BenchRow) -> str:
    assert row.speed_up_all_frames is not None
    return f"{row.speed_up_all_frames.ratio:.2f} of {row.theoretical:.2f}"
