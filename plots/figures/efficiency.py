"""Accuracy against compute: one line per network, engine and data set, optionally over published curves.

The papers report multiply-accumulates as GFLOPs and count the backbone only, so the axis label always states which of
the two counts it shows. Published curves are drawn behind the runs, or alone on the axes of their paper. Building the
figure is separate from saving it, so that tests can inspect its contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...bench.sweep.envelope import ENVELOPE, GATE_SETS
from ...bench.sweep.sweep_file import Sweep
from ...errors import UsageError
from ..published.frameexit import Overlay
from ..runs.operating_point import OperatingPoint
from .published_overlay import add_legend, draw_overlay, extend_lines, on_axis, scale_as_published
from .series import accuracy_label, by_series, draw_runs, limit_accuracy, line_name, scale_compute
from .sweep_styles import SETS, STYLES, draw_envelope, draw_points

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

XAxis = Literal["auto", "gflops_paper", "gmacs", "frames"]
X_LABELS = {
    "gflops_paper": "GFLOPs as counted in the paper (MACs{per_frame})",
    "gmacs": "GMACs counted over all parts executed",
    "frames": "Mean frames per video",
}
_SWEPT_FIELDS = {"gflops_paper": "gflops_paper", "gmacs": "gmacs", "frames": "mean_frames"}
_PUBLISHED_X_LABEL = "GFLOPs as published (they are MACs)"
_PANEL_INCHES = 3.6
_LEGEND_LINE_INCHES = 0.19


def plot_efficiency(
    points: Sequence[OperatingPoint],
    out: Path,
    *,
    published: Overlay | None = None,
    x: XAxis = "auto",
    sweeps: Sequence[Sweep] = (),
) -> list[Path]:
    """Draw ``points`` and write the figure as PNG, SVG and PDF; return the three paths.

    Args:
        points: runs to draw, in any order; may be empty if ``published`` is given.
        out: path with or without .png, .svg or .pdf.
        published: published lines to draw behind the runs, or alone (see ``published_overlay``).
        x: quantity on the horizontal axis; auto selects the paper's count if every run has one, otherwise the counted
            MACs. Of the published points, only FrameExit's own can be placed on a "frames" axis.
        sweeps: sweeps of bundles with gate sets: a marker for each set, as fitted, and a line for their envelope.

    Raises:
        UsageError: there is nothing to draw, a point lacks the quantity that ``x`` selects, or ``out`` cannot be
            written.
    """
    from .style import save

    return save(efficiency_figure(points, published=published, x=x, sweeps=sweeps), out)


def efficiency_figure(
    points: Sequence[OperatingPoint],
    *,
    published: Overlay | None = None,
    x: XAxis = "auto",
    sweeps: Sequence[Sweep] = (),
) -> Figure:
    """Build the figure that ``plot_efficiency`` writes."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    kind = _x_kind(points, published, x)
    shown = published and on_axis(published, kind)
    series = by_series(points, line_name, with_metric=published is not None)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, _PANEL_INCHES))
        axes = figure.add_subplot()
        if shown:
            draw_overlay(axes, shown, kind, alone=not points)
        drawn = [*draw_runs(axes, series, _x_of(kind)), *_draw_sets(axes, sweeps, kind)]
        _label_axes(axes, points, shown, kind)
        _scale(axes, points, shown, kind)
        _add_legends(figure, axes, drawn, shown, kind)
    return figure


def _x_kind(points: Sequence[OperatingPoint], published: Overlay | None, x: XAxis) -> str:
    if not points and not published:
        raise UsageError("there are no runs to plot", "pass at least one run folder, or --published")
    without = [point for point in points if point.gflops_paper is None]
    if x == "gflops_paper" and without:
        raise UsageError(f"{without[0].series}: the paper reports no GFLOPs for this network", "use --x gmacs")
    if not points and x != "frames":
        # Published GFLOPs are MACs, so published curves alone have a single compute axis.
        return "gflops_paper"
    if x == "auto":
        return "gmacs" if without else "gflops_paper"
    return x


def _x_of(kind: str) -> Callable[[OperatingPoint], float]:
    if kind == "gflops_paper":
        return lambda point: point.gflops_paper or 0.0
    return (lambda point: point.gmacs) if kind == "gmacs" else (lambda point: point.mean_frames)


def _draw_sets(axes: Axes, sweeps: Sequence[Sweep], kind: str) -> list[Artist]:
    """Draw the points of every sweep's gate sets, and their envelope; return the artists for the legend."""
    drawn = []
    for sweep in sweeps:
        for family, style, draw in ((ENVELOPE, STYLES[ENVELOPE], draw_envelope), (GATE_SETS, SETS, draw_points)):
            found = [point for point in sweep.points if point.family == family and point.accuracy is not None]
            if found:
                named = replace(style, label=f"{found[0].bundle}: {style.label}")
                x = [float(getattr(point, _SWEPT_FIELDS[kind]) or 0) for point in found]
                drawn.append(draw(axes, x, [point.accuracy or 0.0 for point in found], named))
    return drawn


def _label_axes(axes: Axes, points: Sequence[OperatingPoint], published: Overlay | None, kind: str) -> None:
    axes.set_xlabel(compute_label([(point.gflops_paper, point.mean_frames) for point in points], published, kind))
    axes.set_ylabel(accuracy_label({point.metric for point in points} | ({published.metric} if published else set())))


def compute_label(counted: Sequence[tuple[float | None, float]], published: Overlay | None, kind: str) -> str:
    """Return the label of an axis of ``kind``; ``counted`` contains (the paper's GFLOPs, frames) for each point."""
    costs = sorted({f"{gflops / frames:.3g}" for gflops, frames in counted if gflops and frames})
    each = f"{' or '.join(costs)} per frame" if costs else ""
    if published and kind == "gflops_paper":
        return f"{_PUBLISHED_X_LABEL}{'; runs: ' if each else ''}{each}"
    return X_LABELS[kind].format(per_frame=f", {each}" if each else "")


def _scale(axes: Axes, points: Sequence[OperatingPoint], published: Overlay | None, kind: str) -> None:
    scale_compute(axes)
    limit_accuracy(axes)
    if published and not points and kind != "frames":
        scale_as_published(axes, published)
    if published and kind != "frames":
        extend_lines(axes, published, alone=not points)


def _add_legends(figure: Figure, axes: Axes, drawn: Sequence[Artist], published: Overlay | None, kind: str) -> None:
    """Place the runs' legend below the axes, or above them if the legend of the published lines is below."""
    below = add_legend(figure, axes, published, kind) if published else 0.0
    if drawn:
        figure.legend(handles=drawn, loc="outside upper center" if published else "outside lower center", ncols=1)
    lines = sum(len(str(line.get_label()).splitlines()) for line in drawn)
    figure.set_figheight(_PANEL_INCHES + below + _LEGEND_LINE_INCHES * lines)
