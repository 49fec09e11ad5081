"""Film strip of one video: frames in the order the network reads them, and the reason for the exit.

Elements have fixed positions in inches, because automatic layout cannot align pictures of arbitrary shape with the bars
below them. Anything conveyed by color is also conveyed by text or marks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...bench.explain.explain import TOP
from ...bench.explain.explanation import Explanation
from .cell import BAR_INCHES, HEAD_INCHES, LINE_INCHES, Cell, cropped, decision_lines
from .layout import GRAY, INK, PALE, SIZE, SMALL, Canvas, outcome_text, true_text, truncate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 5
_MAX_COLUMN_INCHES = 2.4  # width of a column
_MAX_PICTURE_RATIO = 1.5  # height of a picture relative to its width
_GAP, _EDGE = 0.09, 0.08
_HEADER, _TIMELINE = 0.62, 0.42
_TITLE = 9.0  # points


class _Grid(NamedTuple):
    """Layout of the cells, in inches; ``lines`` is the number of text lines of a decision."""

    columns: int
    left: float
    width: float
    picture_height: float
    lines: int
    cell: float
    rows: int


def plot_film(explanation: Explanation, out: Path) -> list[Path]:
    """Draw the film strip of a video and write it as PNG, SVG and PDF; return the three paths.

    Raises:
        UsageError: ``out`` cannot be written.
    """
    from ..figures.style import save

    return save(film_figure(explanation), out)


def film_figure(explanation: Explanation) -> Figure:
    """Build the figure that ``plot_film`` writes."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    from ..figures.style import WIDTH_INCHES, figure_style

    grid = _grid(explanation, WIDTH_INCHES)
    bottom = _HEADER + grid.rows * grid.cell
    with figure_style():
        # With "none", savefig would fall back to the style's automatic layout, which moves positioned elements.
        layout = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)
        figure = Figure(figsize=(WIDTH_INCHES, bottom + _TIMELINE), layout=layout)
        page = Canvas(figure)
        _draw_header(page, explanation)
        for number, view in enumerate(explanation.steps):
            row, column = divmod(number, grid.columns)
            place = (grid.left + column * (grid.width + _GAP), _HEADER + row * grid.cell)
            Cell(page, explanation, view, place, grid.width, grid.picture_height).draw(grid.lines)
        _draw_timeline(page, explanation, bottom)
    return figure


def _grid(explanation: Explanation, page_width: float) -> _Grid:
    views = explanation.steps
    columns = min(len(views), _COLUMNS)
    width = min((page_width - 2 * _EDGE - (columns - 1) * _GAP) / columns, _MAX_COLUMN_INCHES)
    picture_height = width * min(
        max(view.picture.shape[0] / view.picture.shape[1] for view in views), _MAX_PICTURE_RATIO
    )
    lines = max(len(decision_lines(explanation, view, width)) for view in views)
    return _Grid(
        columns=columns,
        left=(page_width - columns * width - (columns - 1) * _GAP) / 2,
        width=width,
        picture_height=picture_height,
        lines=lines,
        cell=HEAD_INCHES + picture_height + lines * LINE_INCHES + TOP * BAR_INCHES + 2 * _GAP,
        rows=math.ceil(len(views) / columns),
    )


def _draw_header(page: Canvas, explanation: Explanation) -> None:
    room = page.width - 2 * _EDGE
    # Truncate a path at its start, and leave room for the classes.
    video = truncate(
        explanation.video or "a video",
        room * 0.6 if explanation.true_classes else room,
        _TITLE,
        bold=True,
        keep_end=True,
    )
    square = "; dashed: area the network sees" if cropped(explanation, explanation.steps[0]) else ""
    lines: Sequence[tuple[str, dict[str, Any]]] = (
        (video + true_text(explanation), {"fontsize": _TITLE, "weight": "bold"}),
        (outcome_text(explanation), {"fontsize": SIZE}),
        (
            f"{explanation.bundle}, {explanation.engine}; {explanation.policy_label}{square}",
            {"fontsize": SMALL, "color": GRAY},
        ),
    )
    for number, (text, style) in enumerate(lines):
        page.text(_EDGE, 0.12 + 0.17 * number, truncate(text, room, style["fontsize"], bold="weight" in style), **style)


def _draw_timeline(page: Canvas, explanation: Explanation, y: float) -> None:
    """Mark the position of each step's frame in the video: filled if it was read, hollow if not."""
    axes = page.axes(2 * _EDGE, y + 0.02, page.width - 4 * _EDGE, _TIMELINE - 0.2)
    last = explanation.length - 1
    axes.set_xlim(*((-0.02 * last, 1.02 * last) if last else (-1, 1)))
    axes.set_ylim(-1, 1)
    axes.plot([0, last], [0, 0], color=PALE, linewidth=2, zorder=1)
    for position in sorted({view.position for view in explanation.steps}):
        steps = [view.step for view in explanation.steps if view.position == position]
        # A long mark centered at either end would extend beyond the page.
        at_end = len(steps) > 1 and last > 0
        side = "left" if at_end and position == 0 else "right" if at_end and position == last else "center"
        _draw_mark(axes, position, steps, explanation.exit_step, side)
    words = (
        ("", "the only frame", "")
        if not last
        else ("frame 0", f"frame read at each step, of {last + 1} frames", f"frame {last}")
    )
    for x, text, side in zip((2 * _EDGE, page.width / 2, page.width - 2 * _EDGE), words, ("left", "center", "right")):
        page.text(x, y + _TIMELINE - 0.09, text, color=GRAY, ha=side)


def _draw_mark(axes: Axes, position: int, steps: Sequence[int], exit_step: int, side: str) -> None:
    from ..figures.style import PALETTE

    seen, ends = steps[0] <= exit_step, exit_step in steps
    color = PALETTE[1] if ends else INK if seen else GRAY
    box = {"boxstyle": "round,pad=0.25", "facecolor": color if seen else "white", "edgecolor": color}
    style: dict[str, Any] = {"fontsize": SMALL - 0.5, "ha": side, "va": "center", "weight": "bold"}
    text = ",".join(map(str, steps))
    axes.text(position, 0, text, color="white" if seen else GRAY, bbox=box, zorder=3 if ends else 2, **style)
