"""Shared helpers for the accuracy figures: grouping runs into series, line styles and axis limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING

from ..runs.operating_point import METRICS, OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.lines import Line2D

_Y_LABELS = {"top1": "Top-1 accuracy (%)", "map": "mAP (%)"}
_LEGEND_CHARACTERS = 84
_LOG_RATIO = 30.0
_MIN_SPAN_PERCENT = 2.0
_TOP_PERCENT = 100.5

Lines = dict[str, list[OperatingPoint]]


def by_series(points: Sequence[OperatingPoint], name: Callable[[OperatingPoint], str], *, with_metric: bool) -> Lines:
    """Group points into lines by name and metric; add the metric to the name if requested or if there are several."""
    with_metric = with_metric or len({point.metric for point in points}) > 1
    ordered = sorted(points, key=lambda point: (name(point), point.metric))
    return {
        f"{shared} ({METRICS[metric]})" if with_metric else shared: list(group)
        for (shared, metric), group in groupby(ordered, key=lambda point: (name(point), point.metric))
    }


def line_name(point: OperatingPoint) -> str:
    """Return the name of a run's line: its series, or a separate name for a cascade.

    A cascade covers several frame counts, so it does not belong on the line through runs at a single count.
    """
    return f"{point.series}, cascade" if len(point.frame_counts) > 1 else point.series


def accuracy(point: OperatingPoint) -> float:
    """Return the accuracy of a run in percent, for the vertical axis of most figures."""
    return point.accuracy


def draw_runs(
    axes: Axes,
    lines: Lines,
    x_of: Callable[[OperatingPoint], float],
    y_of: Callable[[OperatingPoint], float] = accuracy,
) -> list[Line2D]:
    """Draw every line with its own color and marker; return the artists in drawing order."""
    from .style import MARKERS, PALETTE

    drawn: list[Line2D] = []
    for number, (name, members) in enumerate(lines.items()):
        members = sorted(members, key=x_of)
        drawn += axes.plot(
            [x_of(point) for point in members],
            [y_of(point) for point in members],
            color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % len(MARKERS)],
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=legend_text(name),
            zorder=3,
        )
    return drawn


def legend_text(text: str) -> str:
    """Wrap text that is too long for the legend."""
    return fill(text, _LEGEND_CHARACTERS)


def accuracy_label(metrics: set[str]) -> str:
    """Return the label of the vertical axis for points of these metrics."""
    return _Y_LABELS[min(metrics)] if len(metrics) == 1 else "Accuracy (%)"


def scale_compute(axes: Axes) -> None:
    """Make the horizontal axis logarithmic if the points would crowd at its left end."""
    import numpy as np

    values = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in axes.lines])
    if spread(values.tolist()) > _LOG_RATIO:
        axes.set_xscale("log")
        label_decades(axes.xaxis)


def spread(values: Sequence[float]) -> float:
    """Return the ratio of the largest to the smallest value; 1 if it is undefined."""
    return max(values) / min(values) if values and min(values) > 0 else 1.0


def label_decades(axis: Axis, subs: Sequence[float] = (1.0,)) -> None:
    """Label a logarithmic axis at multiples ``subs`` of every decade, without exponents."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def limit_accuracy(axes: Axes) -> None:
    """Keep the vertical axis from zooming in on noise and from extending far beyond 100 %."""
    bottom, top = axes.get_ylim()
    short = max(0.0, _MIN_SPAN_PERCENT - (top - bottom)) / 2
    # Leave room for a marker at 100 % without extending the axis to 103.
    axes.set_ylim(bottom - short, min(top + short, _TOP_PERCENT))
