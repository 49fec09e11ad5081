"""Draw published lines on the axes of a figure, with a legend that cites their sources.

Drawn alone, the lines look as published, on the axes of their figure; behind runs, they are thin and pale. The legend
title states what all lines share: data set, papers and the meaning of the marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ..published.frameexit import Axis, Overlay, PublishedLine, PublishedPoint
from ..published.styles import SERIES_STYLES
from ..runs.operating_point import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEAD_CHARACTERS = 96
_NO_BREAK = "\N{NO-BREAK SPACE}"
_COLUMNS = 2
_LINE_INCHES = 0.165
_MARKS = {"figure": "†", "quoted": "‡"}
_MARK_TEXTS = {"figure": "† read from a figure", "quoted": "‡ quoted from the method's own paper"}


def on_axis(overlay: Overlay, kind: str) -> Overlay:
    """Return the overlay restricted to lines that can be placed on an axis of ``kind``, with a count of the others.

    The kinds are "frames", which only FrameExit's own lines support, and counts of GFLOPs or GMACs.
    """
    lines = tuple(line for line in overlay.lines if all(_x(point, kind) is not None for point in line.points))
    return replace(overlay, lines=lines, left_out=len(overlay.lines) - len(lines))


def draw_overlay(axes: Axes, overlay: Overlay, kind: str, *, alone: bool) -> None:
    """Draw the lines of an overlay from ``on_axis``: in the published style if ``alone``, otherwise thin and pale."""
    for line in overlay.lines:
        xs, ys = [_x(point, kind) or 0.0 for point in line.points], [point.accuracy for point in line.points]
        axes.plot(xs, ys, label=line_label(overlay, line), **_line_style(line, overlay.joined, alone))


def extend_lines(axes: Axes, overlay: Overlay, *, alone: bool) -> None:
    """Extend lines past the right edge where the published figure does, without rescaling the axes."""
    left, right = axes.get_xlim()
    axes.set_ylim(axes.get_ylim())
    farthest = axes.dataLim.xmax
    axes.set_xlim(left, min(right, overlay.x.high) if overlay.x and farthest <= overlay.x.high else right)
    for line in overlay.lines:
        if line.beyond:
            ends = (line.points[-1], *line.beyond)
            style = {**_line_style(line, overlay.joined, alone), "marker": "None"}
            axes.plot([point.gflops for point in ends], [point.accuracy for point in ends], label="_beyond", **style)


def scale_as_published(axes: Axes, overlay: Overlay) -> None:
    """Set the range and ticks of the published figure."""
    if overlay.x:
        axes.set_xlim(overlay.x.low, overlay.x.high)
        axes.set_xticks(_ticks(overlay.x))
    if overlay.y:
        axes.set_ylim(overlay.y.low, overlay.y.high)
        axes.set_yticks(_ticks(overlay.y))


def add_legend(figure: Figure, axes: Axes, overlay: Overlay, kind: str) -> float:
    """Add the legend of the published lines below the axes; return its height in inches."""
    known = {line_label(overlay, line) for line in overlay.lines}
    handles, labels = axes.get_legend_handles_labels()
    drawn = [(handle, label) for handle, label in zip(handles, labels) if label in known]
    head = _head(overlay, kind)
    figure.legend(
        *zip(*drawn),
        loc="outside lower center",
        ncols=_COLUMNS,
        title=head,
        title_fontsize=7.5,
        fontsize=7.5,
        alignment="left",
        handlelength=3.2 if overlay.joined else 1.5,
        labelspacing=0.35,
        columnspacing=1.5,
    )
    return _LINE_INCHES * (-(-len(drawn) // _COLUMNS) + len(head.splitlines()))


def line_label(overlay: Overlay, line: PublishedLine) -> str:
    """Return the legend label of a line: its name, its paper's number if there are several papers, and its marks."""
    point = line.points[0]
    number = f" [{overlay.papers.index(point.paper) + 1}]" if len(overlay.papers) > 1 else ""
    marks = "".join(mark for origin, mark in _MARKS.items() if origin in _origins(line.points))
    return f"{point.legend}{number}{' ' if marks else ''}{marks}"


def _x(point: PublishedPoint, kind: str) -> float | None:
    return point.mean_frames if kind == "frames" else point.gflops


def _origins(points: Sequence[PublishedPoint]) -> set[str]:
    return {origin for point in points for origin in (point.accuracy_from, point.gflops_from)}


def _line_style(line: PublishedLine, joined: bool, alone: bool) -> dict[str, Any]:
    style = SERIES_STYLES[line.points[0].legend]
    return {
        "color": style.color,
        "marker": style.marker,
        "fillstyle": style.fill,
        "markerfacecoloralt": "white",
        "linestyle": style.stroke if joined else "None",
        "linewidth": 1.4 if alone else 0.9,
        "markersize": 6.0 if alone else 4.5 if joined else 5.5,
        # A pale marker without a line is hard to see.
        "alpha": 1.0 if alone else 0.5 if joined else 0.7,
        "zorder": 2,
    }


def _head(overlay: Overlay, kind: str) -> str:
    """Return the legend title: what all lines share, and the meaning of the marks."""
    papers = overlay.papers
    named = papers if len(papers) == 1 else [f"[{number}] {paper}" for number, paper in enumerate(papers, start=1)]
    origins = set().union(*(_origins(line.points) for line in overlay.lines))
    counted = "; the papers' GFLOPs are MACs" if kind == "gmacs" else ""
    remarks = [
        *(text for origin, text in _MARK_TEXTS.items() if origin in origins),
        *([] if overlay.joined else ["single points from tables, not part of a curve"]),
        *([f"{overlay.left_out} other lines without frame counts omitted"] if overlay.left_out else []),
    ]
    # textwrap does not break at a no-break space, so paper names stay on one line.
    whole = ", ".join(name.replace(" ", _NO_BREAK) for name in named)
    first = f"Published on {overlay.dataset} ({METRICS[overlay.metric]}{counted}) in {whole}"
    text = "\n".join(fill(line, _HEAD_CHARACTERS) for line in (first, "; ".join(remarks)) if line)
    return text.replace(_NO_BREAK, " ")


def _ticks(axis: Axis) -> list[float]:
    return [
        axis.first_tick + axis.step * number for number in range(int((axis.high - axis.first_tick) / axis.step) + 1)
    ]
