"""What the figures of accuracy have in common: runs grouped into lines, how a line looks, and the axes' limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING

from .points import METRICS, OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Y_LABELS = {"top1": "Top-1 accuracy (%)", "map": "mAP (%)"}
_LEGEND_CHARACTERS = 84
_LOG_RATIO = 30.0
_MIN_SPAN_PERCENT = 2.0
_TOP_PERCENT = 100.5

Lines = dict[str, list[OperatingPoint]]


def by_series(points: Sequence[OperatingPoint], name: Callable[[OperatingPoint], str], *, with_metric: bool) -> Lines:
    """Group points into lines of one name and metric each; the metric is part of the name if there are several."""
    with_metric = with_metric or len({point.metric for point in points}) > 1
    ordered = sorted(points, key=lambda point: (name(point), point.metric))
    return {
        f"{shared} ({METRICS[metric]})" if with_metric else shared: list(group)
        for (shared, metric), group in groupby(ordered, key=lambda point: (name(point), point.metric))
    }


def draw_runs(axes: Axes, lines: Lines, x_of: Callable[[OperatingPoint], float]) -> None:
    """Draw every line from left to right, in a colour and with a marker of its own."""
    from .style import MARKERS, PALETTE

    for number, (name, members) in enumerate(lines.items()):
        members = sorted(members, key=x_of)
        axes.plot(
            [x_of(point) for point in members],
            [point.accuracy for point in members],
            color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % len(MARKERS)],
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=legend_text(name),
            zorder=3,
        )


def legend_text(text: str) -> str:
    """Break a text that is too long for the legend."""
    return fill(text, _LEGEND_CHARACTERS)


def accuracy_label(metrics: set[str]) -> str:
    """Return the name of the vertical axis for points of these metrics."""
    return _Y_LABELS[min(metrics)] if len(metrics) == 1 else "Accuracy (%)"


def scale_compute(axes: Axes) -> None:
    """Make the horizontal axis logarithmic if the points would crowd at its left end."""
    import numpy as np
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    values = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in axes.lines])
    if values.min() > 0 and values.max() / values.min() > _LOG_RATIO:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def limit_accuracy(axes: Axes) -> None:
    """Keep the vertical axis from zooming into noise and from going far beyond 100 %."""
    bottom, top = axes.get_ylim()
    short = max(0.0, _MIN_SPAN_PERCENT - (top - bottom)) / 2
    # Room for a marker at 100 %, but no axis that goes on to 103.
    axes.set_ylim(bottom - short, min(top + short, _TOP_PERCENT))
