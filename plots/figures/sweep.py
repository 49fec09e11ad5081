"""Accuracy against compute of replayed policies, by policy group, with the default policy marked.

A line joins the non-dominated points of a group; the others, often hundreds, form a faint cloud behind it. Several
sweeps over one data set share one set of groups, because a user chooses among all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...bench.sweep.envelope import ENVELOPE, GATE_SETS
from ...bench.sweep.operating_points import Point
from ...bench.sweep.pareto import pareto_front
from ...bench.sweep.policy_grid import DEFAULT as DEFAULT_GROUP
from ...bench.sweep.sweep_file import Sweep
from ...errors import UsageError
from ..published.frameexit import Overlay
from .efficiency import compute_label
from .published_overlay import add_legend, draw_overlay, extend_lines, on_axis
from .series import accuracy_label, limit_accuracy, scale_compute
from .sweep_styles import DEFAULT, SETS, bound_style, draw_band, draw_cloud, draw_envelope, draw_points, group_styles

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SweepAxis = Literal["auto", "gflops_paper", "gmacs", "frames", "latency"]
_FIELDS = {"gflops_paper": "gflops_paper", "gmacs": "gmacs", "frames": "mean_frames", "latency": "latency_ms"}
_LATENCY_LABEL = "Expected latency (ms per video, from measured step times)"
_PANEL_INCHES = 3.9
_LEGEND_LINE_INCHES = 0.19
_LEGEND_COLUMNS = 2
_TITLE_CHARACTERS = 92


@dataclass(frozen=True)
class _AxisPoints:
    """Points with their coordinates: ``x`` in the unit of the axis, ``y`` in percent."""

    points: tuple[Point, ...]
    kind: str

    @property
    def x(self) -> list[float]:
        return [float(getattr(point, _FIELDS[self.kind])) for point in self.points]

    @property
    def y(self) -> list[float]:
        return [point.accuracy or 0.0 for point in self.points]

    def of(self, group: str) -> _AxisPoints:
        return _AxisPoints(tuple(point for point in self.points if point.family == group), self.kind)

    def groups(self, *, runnable: bool) -> list[str]:
        """Return the groups whose points can be run or, if not ``runnable``, those that only bound them."""
        found = dict.fromkeys(point.family for point in self.points if point.runnable is runnable)
        return [group for group in found if group not in (DEFAULT_GROUP, GATE_SETS)]

    def front(self) -> _AxisPoints:
        """Return the Pareto front of the points, from left to right."""
        best = pareto_front(np.array(self.x), np.array(self.y))
        chosen = sorted((x, place) for place, x in enumerate(self.x) if best[place])
        return _AxisPoints(tuple(self.points[place] for _, place in chosen), self.kind)


def plot_sweep(
    sweeps: Sequence[Sweep], out: Path, *, x: SweepAxis = "auto", published: Overlay | None = None
) -> list[Path]:
    """Draw the points of ``sweeps`` and write the figure as PNG, SVG and PDF; return the three paths.

    Args:
        sweeps: sweeps that share a data set and a metric.
        out: path with or without .png, .svg or .pdf.
        x: quantity on the horizontal axis; auto selects the paper's count if every point has one, otherwise the counted
            MACs.
        published: published lines to draw behind the points (see ``published_overlay``).

    Raises:
        UsageError: there is nothing to draw, the data sets or metrics differ, a point lacks the quantity that ``x``
            selects, or ``out`` cannot be written.
    """
    from .style import save

    return save(sweep_figure(sweeps, x=x, published=published), out)


def sweep_figure(sweeps: Sequence[Sweep], *, x: SweepAxis = "auto", published: Overlay | None = None) -> Figure:
    """Build the figure that ``plot_sweep`` writes."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    plotted = _axis_points(sweeps, x)
    shown = _shown(published, sweeps[0].metric, plotted.kind)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, _PANEL_INCHES))
        axes = figure.add_subplot()
        if shown:
            draw_overlay(axes, shown, plotted.kind, alone=False)
        drawn = _draw(axes, plotted)
        axes.set_xlabel(_x_label(plotted, shown))
        axes.set_ylabel(accuracy_label({sweeps[0].metric}))
        axes.set_title(_title(sweeps), fontsize=8, parse_math=False)
        if shown and plotted.kind != "frames":
            extend_lines(axes, shown, alone=False)
        _add_legends(figure, axes, drawn, shown, plotted.kind)
    return figure


def _axis_points(sweeps: Sequence[Sweep], x: SweepAxis) -> _AxisPoints:
    if not sweeps:
        raise UsageError("there are no sweeps to plot", "pass a sweep.parquet, or a run folder that contains one")
    for sweep in sweeps:
        for name in ("dataset", "metric"):
            one, other = getattr(sweeps[0], name), getattr(sweep, name)
            if one != other:
                raise UsageError(f"sweeps of {one} and {other} cannot share a figure", f"draw each {name} separately")
    points = tuple(point for sweep in sweeps for point in sweep.points if point.accuracy is not None)
    if not points:
        raise UsageError("none of the operating points has an accuracy", "sweep only runs on labeled videos")
    without = [point for point in points if point.gflops_paper is None]
    if x == "gflops_paper" and without:
        raise UsageError(f"{without[0].bundle}: the paper reports no GFLOPs for this network", "use --x gmacs")
    return _AxisPoints(points, ("gmacs" if without else "gflops_paper") if x == "auto" else x)


def _shown(published: Overlay | None, metric: str, kind: str) -> Overlay | None:
    if published is None:
        return None
    if published.metric != metric:
        raise UsageError(
            f"{published.dataset} uses metric {published.metric}, but the sweep uses {metric}", "draw them separately"
        )
    if kind == "latency":
        raise UsageError("the papers report no latency to compare with", "omit --published, or choose another --x")
    return on_axis(published, kind)


def _draw(axes: Axes, plotted: _AxisPoints) -> list[Artist]:
    """Draw clouds, band, envelopes and single points; return the artists for the legend, in order."""
    everything = (point for point in plotted.points if point.runnable and point.family != ENVELOPE)
    runnable = _AxisPoints(tuple(everything), plotted.kind)
    front = runnable.front()
    known = [(x, point.interval) for x, point in zip(front.x, front.points) if point.interval]
    band = draw_band(axes, [x for x, _ in known], [tuple(interval) for _, interval in known]) if known else None
    groups = [(style, plotted.of(name)) for name, style in group_styles(plotted.groups(runnable=True)).items()]
    lines = [draw_envelope(axes, *_coordinates(found.front()), style) for style, found in groups]
    sets = plotted.of(GATE_SETS)
    lines += [draw_points(axes, *_coordinates(sets), SETS)] if sets.points else []
    default = plotted.of(DEFAULT_GROUP)
    single = [draw_points(axes, *_coordinates(default), DEFAULT)] if default.points else []
    for name in plotted.groups(runnable=False):
        single.append(draw_points(axes, *_coordinates(plotted.of(name).front()), bound_style(name)))
    scale_compute(axes)
    limit_accuracy(axes)
    # Freeze the limits before drawing the clouds, whose worst points would compress the lines.
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    for style, found in groups:
        draw_cloud(axes, *_coordinates(found), style)
    return [*lines, *single, *([band] if band else [])]


def _coordinates(plotted: _AxisPoints) -> tuple[list[float], list[float]]:
    return plotted.x, plotted.y


def _x_label(plotted: _AxisPoints, published: Overlay | None) -> str:
    if plotted.kind == "latency":
        return _LATENCY_LABEL
    return compute_label([(point.gflops_paper, point.mean_frames) for point in plotted.points], published, plotted.kind)


def _title(sweeps: Sequence[Sweep]) -> str:
    bundles = ", ".join(dict.fromkeys(point.bundle for sweep in sweeps for point in sweep.points))
    engines = ", ".join(dict.fromkeys(engine for sweep in sweeps for engine in sweep.engines.values()))
    videos = sorted({count for sweep in sweeps for count in sweep.videos.values()})
    counts = str(videos[0]) if len(videos) == 1 else f"{videos[0]} to {videos[-1]}"
    rest = f"{engines}; replayed on {counts} videos of {sweeps[0].dataset}"
    whole = f"{bundles}; {rest}"
    return whole if len(whole) <= _TITLE_CHARACTERS else f"{fill(bundles, _TITLE_CHARACTERS)}\n{rest}"


def _add_legends(figure: Figure, axes: Axes, drawn: Sequence[Artist], published: Overlay | None, kind: str) -> None:
    """Place the legend below the axes, or above them if the legend of the published lines is below."""
    below = add_legend(figure, axes, published, kind) if published else 0.0
    figure.legend(
        handles=list(drawn),
        loc="outside upper center" if published else "outside lower center",
        ncols=_LEGEND_COLUMNS,
        handlelength=3.4,
        fontsize=8,
    )
    rows = -(-len(drawn) // _LEGEND_COLUMNS)
    figure.set_figheight(_PANEL_INCHES + below + _LEGEND_LINE_INCHES * rows)
