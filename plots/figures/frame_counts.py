"""Accuracy of frame-flexible networks against the number of frames and against compute, as in the FFN paper.

A line is one network at all its frame counts, or several networks under one name (one trained for each count). A
cascade is a separate point, since it combines several counts. Published points are drawn behind, in black and gray.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ...errors import UsageError
from ..published.ffn import FLEXIBLE_FAMILIES, FlexiblePoint
from ..runs.operating_point import OperatingPoint
from .series import Lines, accuracy_label, by_series, draw_runs, legend_text, limit_accuracy, scale_compute

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

XAxis = Literal["both", "frames", "gmacs"]
Published = Sequence[FlexiblePoint]


class _TrainingStyle(NamedTuple):
    """Style and legend labels of the published points for one kind of training, with braces as placeholders."""

    name: str
    training: str
    marker: str
    linestyle: str
    color: str
    face: str


_TRAINING_STYLES = {
    "ffn": _TrainingStyle("{}-FFN", "one network at every count", "o", "-", "#000000", "#000000"),
    "separate": _TrainingStyle("{}-ST", "one network for each count", "v", "--", "#6E6E6E", "#6E6E6E"),
    "largest": _TrainingStyle("{}", "one network, trained at {} frames", "o", ":", "#6E6E6E", "#FFFFFF"),
}
_PANEL_INCHES = 3.5
_LEGEND_LINE_INCHES = 0.19
# Minimum distance between ticks, as a fraction of the axis; closer labels would overlap.
_TICK_GAP = {1: 1 / 30, 2: 1 / 16}


def plot_frames(
    points: Sequence[OperatingPoint], out: Path, *, published: Published = (), x: XAxis = "both"
) -> list[Path]:
    """Draw ``points`` and write the figure as PNG, SVG and PDF; return the three paths.

    Args:
        points: runs of frame-flexible networks, in any order.
        out: path with or without .png, .svg or .pdf.
        published: points from the FFN paper to draw behind the runs, or alone.
        x: quantity on the horizontal axis; "both" draws two panels.

    Raises:
        UsageError: there is nothing to draw, a run has no frame count, two runs on one line have the same frame count,
            published points lack the compute for a GMACs axis, or ``out`` cannot be written.
    """
    from .style import save

    return save(frames_figure(points, published=published, x=x), out)


def frames_figure(points: Sequence[OperatingPoint], *, published: Published = (), x: XAxis = "both") -> Figure:
    """Build the figure that ``plot_frames`` writes."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    panels = _panels(points, published, x)
    # All published points are top-1, so only runs with another metric need to name it.
    lines = by_series(points, _line_name, with_metric=bool(published) and any(p.metric != "top1" for p in points))
    _check_lines(lines)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, _PANEL_INCHES))
        axes = list(figure.subplots(1, len(panels), sharey=True, squeeze=False).flat)
        for panel, kind in zip(axes, panels):
            _draw_published(panel, published, kind)
            draw_runs(panel, lines, _frames if kind == "frames" else _gmacs)
        _scale(axes, panels, points, published)
        axes[0].set_ylabel(accuracy_label({point.metric for point in points} | ({"top1"} if published else set())))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1)
        figure.set_figheight(_PANEL_INCHES + _LEGEND_LINE_INCHES * len("\n".join(labels).splitlines()))
    return figure


def _panels(points: Sequence[OperatingPoint], published: Published, x: XAxis) -> tuple[str, ...]:
    if not points and not published:
        raise UsageError("there are no runs to plot", "pass at least one run folder, or --published")
    for point in points:
        if not point.frame_counts:
            raise UsageError(
                f"{point.series}: the run has no frame count ({point.label})", "use vbench plot efficiency"
            )
    without_gflops = [point.family for point in published if point.gflops is None]
    if x == "gmacs" and without_gflops:
        raise UsageError(
            f"the FFN paper reports no GFLOPs for {FLEXIBLE_FAMILIES[without_gflops[0]]}", "use --x frames"
        )
    if x != "both":
        return (x,)
    return ("frames",) if without_gflops and not points else ("frames", "gmacs")


def _line_name(point: OperatingPoint) -> str:
    if len(point.frame_counts) == 1:
        return point.series
    return f"{point.series}, {point.label} (mean of all frames read)"


def _check_lines(lines: Lines) -> None:
    for name, members in lines.items():
        count, times = Counter(point.mean_frames for point in members).most_common(1)[0]
        if times > 1:
            raise UsageError(
                f"{name} has {times} runs at {count:g} frames", "remove one, or give it its own name with --series"
            )


def _frames(point: OperatingPoint) -> float:
    return point.mean_frames


def _gmacs(point: OperatingPoint) -> float:
    return point.gmacs


def _draw_published(axes: Axes, published: Published, kind: str) -> None:
    x_of: Callable[[FlexiblePoint], float | None] = (
        (lambda point: point.frames) if kind == "frames" else (lambda point: point.gflops_total)
    )
    for training, style in _TRAINING_STYLES.items():
        members = sorted((point for point in published if point.training == training), key=lambda point: point.frames)
        places = [(x, point.accuracy) for point in members if (x := x_of(point)) is not None]
        if not members:
            continue
        axes.plot(
            [x for x, _ in places],
            [accuracy for _, accuracy in places],
            color=style.color,
            marker=style.marker,
            markerfacecolor=style.face,
            markersize=4.5,
            linestyle=style.linestyle,
            linewidth=1.0,
            label=legend_text(_published_label(members)),
            zorder=2,
        )


def _published_label(members: Sequence[FlexiblePoint]) -> str:
    point, largest = members[0], max(point.frames for point in members)
    style = _TRAINING_STYLES[point.training]
    remarks = (
        point.dataset,
        *([f"{point.views} crops"] if point.views > 1 else []),
        *(["from a figure"] if any(point.accuracy_from == "figure" for point in members) else []),
        *(["no GFLOPs published"] if point.gflops is None else []),
    )
    text = f"{style.name.format(FLEXIBLE_FAMILIES[point.family])}, published: {style.training.format(largest)}"
    return f"{text} ({', '.join(remarks)})"


def _scale(axes: Sequence[Axes], panels: Sequence[str], points: Sequence[OperatingPoint], published: Published) -> None:
    for panel, kind in zip(axes, panels):
        if kind == "frames":
            counts = {count for point in points for count in point.frame_counts if count} | {
                p.frames for p in published
            }
            panel.set_xticks(_ticks(sorted(counts), _TICK_GAP[len(panels)]))
            panel.set_xlabel("Frames per video")
        else:
            scale_compute(panel)
            panel.set_xlabel(_compute_label(points, published))
    limit_accuracy(axes[0])


def _ticks(counts: Sequence[int], gap: float) -> list[int]:
    """Drop ticks too close to their right neighbor; the largest count, usually a trained one, keeps its tick."""
    room = gap * (counts[-1] - counts[0])
    ticks = [counts[-1]]
    for count in reversed(counts[:-1]):
        if ticks[-1] - count >= room:
            ticks.append(count)
    return ticks[::-1]


def _compute_label(points: Sequence[OperatingPoint], published: Published) -> str:
    counted = "GMACs counted over all parts executed" if points else "GMACs per video"
    return f"{counted}\n(the paper's GFLOPs are MACs)" if any(point.gflops for point in published) else counted
