"""Speed of a benchmark's contenders against accuracy or, if there are no labels, against their unchanged answers.

Contenders are numbered, because 25 names do not fit next to their points, and colors alone could not tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...bench.benchmark import BenchRow
from .bench_contenders import Look, ShownBench, looks, marked_name, note_lines, unstable
from .number_labels import number_points
from .series import accuracy_label, label_decades, limit_accuracy, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_PANEL_INCHES = 3.2
_LEGEND_LINE_INCHES = 0.19
_NOTE_LINE_INCHES = 0.14
_NOTE = "Medians over the repetitions. Small markers are baselines."
_LOG_RATIO = 8.0
_COLUMN_CHARACTERS = 44
_SIZE, _BASELINE_SIZE = 6.5, 4.5


def bench_speed_figure(shown: ShownBench) -> Figure:
    """Build the figure: one numbered marker per contender, small for baselines and hollow for UNSTABLE ones."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    rows, heights = shown.rows, _heights(shown)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, _PANEL_INCHES))
        axes = figure.add_subplot()
        drawn = [_draw(axes, number, *each) for number, each in enumerate(zip(rows, looks(rows), heights), start=1)]
        _scale(axes, rows)
        axes.set_ylabel(_y_label(shown))
        _add_key(figure, drawn, note_lines([_NOTE, *shown.notes]))
        number_points(figure, axes, [(_rate(row), value) for row, value in zip(rows, heights)])
    return figure


def _add_key(figure: Figure, drawn: Sequence[Line2D], notes: Sequence[str]) -> None:
    """Add the names below the axes, in two columns if they fit, with the notes above them; extend the figure."""
    short = max(len(str(line.get_label())) for line in drawn) <= _COLUMN_CHARACTERS
    columns = 2 if short and len(drawn) > 4 else 1
    height = _LEGEND_LINE_INCHES * math.ceil(len(drawn) / columns) + _NOTE_LINE_INCHES * len(notes)
    figure.set_figheight(_PANEL_INCHES + height)
    figure.legend(
        handles=drawn,
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        title="\n".join(notes),
        title_fontsize=7.5,
        alignment="left",
    )


def _labeled(shown: ShownBench) -> bool:
    return all(row.accuracy is not None for row in shown.rows)


def _heights(shown: ShownBench) -> list[float]:
    """Return each contender's accuracy or, if there are no labels, its share of unchanged answers, in percent."""
    accuracies = [row.accuracy for row in shown.rows if row.accuracy is not None]
    return accuracies if _labeled(shown) else [_unchanged(row) for row in shown.rows]


def _unchanged(row: BenchRow) -> float:
    """Return the percentage of videos with the reference's class; 100 for the reference itself."""
    found = row.agreement
    return 100.0 if found is None or not found.videos else 100 * (1 - found.classes_changed / found.videos)


def _y_label(shown: ShownBench) -> str:
    return accuracy_label({shown.metric}) if _labeled(shown) else "Videos with the reference's class (%)"


def _baseline(row: BenchRow) -> bool:
    return row.procedure != "network" or row.every_step


def _rate(row: BenchRow) -> float:
    assert row.videos_per_s is not None
    return row.videos_per_s[0]


def _draw(axes: Axes, number: int, row: BenchRow, look: Look, height: float) -> Line2D:
    (drawn,) = axes.plot(
        [_rate(row)],
        [height],
        color=look.color,
        linestyle="None",
        marker=look.marker,
        markersize=_BASELINE_SIZE if _baseline(row) else _SIZE,
        markerfacecolor="white" if unstable(row) else look.color,
        markeredgecolor=look.color if unstable(row) else "white",
        markeredgewidth=1.2 if unstable(row) else 0.6,
        label=f"{number}  {marked_name(row)}",
        zorder=3,
    )
    return drawn


def _scale(axes: Axes, rows: Sequence[BenchRow]) -> None:
    axes.set_xlabel("Speed (videos/s)")
    if spread([_rate(row) for row in rows]) > _LOG_RATIO:
        axes.set_xscale("log")
        label_decades(axes.xaxis, subs=(1.0, 2.0, 5.0))
    limit_accuracy(axes)
