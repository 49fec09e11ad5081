"""Accuracy against compute: one line per network, engine and data set, over the published curve if asked for.

The papers call multiply-accumulates GFLOPs and count the backbone only, so the axis always says which of the two
numbers it shows, and the legend which data set and metric a line stands for. The figure is built apart from being
saved, so that what it shows can be tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Literal

from ..errors import UsageError
from .points import METRICS, OperatingPoint, PublishedPoint, published_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

XAxis = Literal["auto", "gflops_paper", "gmacs", "frames"]
X_LABELS = {
    "gflops_paper": "GFLOPs as the paper counts them (MACs, {per_frame})",
    "gmacs": "GMACs counted over every part run",
    "frames": "Mean frames per video",
}
_Y_LABELS = {"top1": "Top-1 accuracy (%)", "map": "mAP (%)"}
_LEGEND_CHARACTERS = 84
_LOG_RATIO = 30.0
_MIN_SPAN_PERCENT = 2.0
_TOP_PERCENT = 100.5
_PUBLISHED_MARKERS = {"ResNet-50": "o", "EfficientNet-B3": "v"}


def plot_efficiency(
    points: Sequence[OperatingPoint], out: Path, *, published: bool = False, x: XAxis = "auto"
) -> list[Path]:
    """Draw ``points`` and write the figure as PNG and SVG; return the two paths.

    Args:
        points: what to draw, in any order.
        out: path with or without .png or .svg.
        published: draw FrameExit's ten published points behind the runs.
        x: what the horizontal axis shows; auto takes the paper's count if every run has one, else the counted MACs.

    Raises:
        UsageError: no points, a point without the number that ``x`` asks for, or an ``out`` that cannot be written.
    """
    from .style import save

    return save(efficiency_figure(points, published=published, x=x), out)


def efficiency_figure(points: Sequence[OperatingPoint], *, published: bool = False, x: XAxis = "auto") -> Figure:
    """Build the figure that ``plot_efficiency`` writes."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    kind = _x_kind(points, x)
    series = _by_series(points)
    shown = published_points() if published else ()
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, 3.6 + 0.19 * (len(series) + bool(shown) * 2)))
        axes = figure.add_subplot()
        _draw_published(axes, shown, kind)
        _draw_runs(axes, series, kind, with_metric=published or len({p.metric for p in points}) > 1)
        _label_axes(axes, points, shown, kind)
        _scale_axes(axes)
        figure.legend(loc="outside lower center", ncols=1)
    return figure


def _x_kind(points: Sequence[OperatingPoint], x: XAxis) -> str:
    if not points:
        raise UsageError("no run to plot", "give at least one run folder")
    without = [point for point in points if point.gflops_paper is None]
    if x == "gflops_paper" and without:
        raise UsageError(f"{without[0].series}: the paper gives no GFLOPs for this network", "use --x gmacs")
    if x == "auto":
        return "gmacs" if without else "gflops_paper"
    return x


def _x_of(kind: str) -> Callable[[OperatingPoint], float]:
    if kind == "gflops_paper":
        return lambda point: point.gflops_paper or 0.0
    return (lambda point: point.gmacs) if kind == "gmacs" else (lambda point: point.mean_frames)


def _by_series(points: Sequence[OperatingPoint]) -> dict[str, list[OperatingPoint]]:
    ordered = sorted(points, key=lambda point: (point.series, point.metric))
    return {
        f"{name} ({METRICS[metric]})": list(group)
        for (name, metric), group in groupby(ordered, key=lambda point: (point.series, point.metric))
    }


def _draw_runs(axes: Axes, series: dict[str, list[OperatingPoint]], kind: str, *, with_metric: bool) -> None:
    from .style import MARKERS, PALETTE

    x_of = _x_of(kind)
    for number, (name, members) in enumerate(series.items()):
        members = sorted(members, key=x_of)
        axes.plot(
            [x_of(point) for point in members],
            [point.accuracy for point in members],
            color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % len(MARKERS)],
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=fill(name if with_metric else members[0].series, _LEGEND_CHARACTERS),
            zorder=3,
        )


def _draw_published(axes: Axes, published: Sequence[PublishedPoint], kind: str) -> None:
    for backbone, group in groupby(published, key=lambda point: point.backbone):
        members = list(group)
        axes.plot(
            [point.mean_frames if kind == "frames" else point.gflops for point in members],
            [point.accuracy for point in members],
            color="#A6A6A6",
            markerfacecolor="#4D4D4D",
            markeredgewidth=0.0,
            marker=_PUBLISHED_MARKERS[backbone],
            linewidth=1.0,
            markersize=5.5,
            label=_published_label(members[0], kind),
            zorder=2,
        )


def _published_label(point: PublishedPoint, kind: str) -> str:
    counted = ", paper's GFLOPs" if kind == "gmacs" else ""
    return f"FrameExit {point.backbone}, published ({point.dataset} {METRICS[point.metric]}{counted})"


def _label_axes(axes: Axes, points: Sequence[OperatingPoint], shown: Sequence[PublishedPoint], kind: str) -> None:
    metrics = {point.metric for point in points} | {point.metric for point in shown}
    axes.set_xlabel(X_LABELS[kind].format(per_frame=_per_frame(points, shown)))
    axes.set_ylabel(_Y_LABELS[metrics.pop()] if len(metrics) == 1 else "Accuracy (%)")


def _per_frame(points: Sequence[OperatingPoint], shown: Sequence[PublishedPoint]) -> str:
    counted = [(point.gflops_paper, point.mean_frames) for point in points]
    costs = {f"{gflops / frames:.3g}" for gflops, frames in counted if gflops and frames}
    costs |= {f"{point.gflops / point.mean_frames:.3g}" for point in shown}
    return f"{' or '.join(sorted(costs))} per frame"


def _scale_axes(axes: Axes) -> None:
    import numpy as np
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    values = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in axes.lines])
    if values.min() > 0 and values.max() / values.min() > _LOG_RATIO:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    bottom, top = axes.get_ylim()
    short = max(0.0, _MIN_SPAN_PERCENT - (top - bottom)) / 2
    # Room for a marker at 100 %, but no axis that goes on to 103.
    axes.set_ylim(bottom - short, min(top + short, _TOP_PERCENT))
