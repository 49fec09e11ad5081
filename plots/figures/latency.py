"""Accuracy against latency: one line per network, engine, precision, data set, machine and schedule.

A line never joins times from different machines or schedules; if runs differ in either, the line's name includes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ..runs.operating_point import OperatingPoint
from ..runs.timing import Latency, require
from .series import accuracy_label, by_series, draw_runs, label_decades, limit_accuracy, line_name, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_LABEL = "Latency p50 (ms per video, including decoding)"
_WHISKERS = "whiskers extend to p90"
_LOG_RATIO = 20.0
_PANEL_INCHES = 3.6
_LEGEND_LINE_INCHES = 0.19


def plot_latency(points: Sequence[OperatingPoint], out: Path) -> list[Path]:
    """Draw accuracy against latency for ``points`` and write the figure as PNG, SVG and PDF; return the three paths.

    Raises:
        UsageError: there are no points, or ``out`` cannot be written.
        RunError: a run has no latency.
    """
    from .style import save

    return save(latency_figure(points), out)


def latency_figure(points: Sequence[OperatingPoint]) -> Figure:
    """Build the figure that ``plot_latency`` writes: p50 as markers, with whiskers to p90 where recorded."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    if not points:
        raise UsageError("there are no runs to plot", "pass at least one run folder")
    lines = by_series(points, name_with_setting(points), with_metric=False)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, _PANEL_INCHES))
        axes = figure.add_subplot()
        drawn = draw_runs(axes, lines, p50_ms)
        for line, members in zip(drawn, lines.values()):
            _draw_whiskers(axes, line, members)
        _scale(axes, points)
        axes.set_ylabel(accuracy_label({point.metric for point in points}))
        figure.legend(handles=drawn, loc="outside lower center", ncols=1)
        text_lines = sum(len(str(line.get_label()).splitlines()) for line in drawn)
        figure.set_figheight(_PANEL_INCHES + _LEGEND_LINE_INCHES * text_lines)
    return figure


def name_with_setting(points: Sequence[OperatingPoint]) -> Callable[[OperatingPoint], str]:
    """Return a function that names a run's line, including the machine or schedule if it varies among ``points``."""
    machines = len({point.setting.machine for point in points}) > 1
    schedules = len({point.setting.schedule for point in points}) > 1

    def name(point: OperatingPoint) -> str:
        setting = point.setting
        parts = (*([setting.machine] if machines else []), *([setting.schedule] if schedules else []))
        return "; ".join((line_name(point), *(part or "not recorded" for part in parts)))

    return name


def p50_ms(point: OperatingPoint) -> float:
    """Return the median latency of a run in ms; raise RunError if it was not recorded."""
    return require(_latency(point).p50_ms, "latency", f"{point.series}, {point.label}")


def _latency(point: OperatingPoint) -> Latency:
    return require(point.timing.latency, "latency", f"{point.series}, {point.label}")


def _draw_whiskers(axes: Axes, line: Line2D, members: Sequence[OperatingPoint]) -> None:
    ends = [(p90, p50_ms(point), point.accuracy) for point in members if (p90 := _latency(point).p90_ms) is not None]
    if not ends:
        return
    p90s, p50s, accuracies = zip(*ends)
    color = line.get_color()
    axes.hlines(accuracies, p50s, p90s, color=color, linewidth=0.9, zorder=2.5)
    axes.plot(p90s, accuracies, color=color, linestyle="None", marker="|", markersize=6, label="_p90", zorder=2.5)


def _scale(axes: Axes, points: Sequence[OperatingPoint]) -> None:
    p90s = [p90 for point in points if (p90 := _latency(point).p90_ms) is not None]
    axes.set_xlabel(f"{_LABEL}\n{_WHISKERS}" if p90s else _LABEL)
    if spread([*map(p50_ms, points), *p90s]) > _LOG_RATIO:
        axes.set_xscale("log")
        label_decades(axes.xaxis, subs=(1.0, 2.0, 5.0))
    limit_accuracy(axes)
