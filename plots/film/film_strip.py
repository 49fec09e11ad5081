"""The film strip of one video: the frames in the order in which a network looked at them, and why it stopped.

Everything lies at a fixed place in inches, because pictures of any shape above bars of three lines leave an automatic
layout nothing to decide. What a color says is said by words or marks as well.
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
_MAX_COLUMN_INCHES = 2.4  # a column, in inches
_MAX_PICTURE_RATIO = 1.5  # a picture, as a share of its width
_GAP, _EDGE = 0.09, 0.08
_HEAD, _TIMELINE = 0.62, 0.42
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
    bottom = _HEAD + grid.rows * grid.cell
    with figure_style():
        # With "none" savefig would fall back on the style's automatic layout, which moves what has its place.
        layout = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)
        figure = Figure(figsize=(WIDTH_INCHES, bottom + _TIMELINE), layout=layout)
        page = Canvas(figure)
        _draw_head(page, explanation)
        for number, look in enumerate(explanation.steps):
            row, column = divmod(number, grid.columns)
            place = (grid.left + column * (grid.width + _GAP), _HEAD + row * grid.cell)
            Cell(page, explanation, look, place, grid.width, grid.picture_height).draw(grid.lines)
        _draw_timeline(page, explanation, bottom)
    return figure


def _grid(explanation: Explanation, page_width: float) -> _Grid:
    looks = explanation.steps
    columns = min(len(looks), _COLUMNS)
    width = min((page_width - 2 * _EDGE - (columns - 1) * _GAP) / columns, _MAX_COLUMN_INCHES)
    picture_height = width * min(
        max(look.picture.shape[0] / look.picture.shape[1] for look in looks), _MAX_PICTURE_RATIO
    )
    lines = max(len(decision_lines(explanation, look, width)) for look in looks)
    return _Grid(
        columns=columns,
        left=(page_width - columns * width - (columns - 1) * _GAP) / 2,
        width=width,
        picture_height=picture_height,
        lines=lines,
        cell=HEAD_INCHES + picture_height + lines * LINE_INCHES + TOP * BAR_INCHES + 2 * _GAP,
        rows=math.ceil(len(looks) / columns),
    )


def _draw_head(page: Canvas, explanation: Explanation) -> None:
    room = page.width - 2 * _EDGE
    # A path is cut in its front, and leaves room for the classes.
    video = truncate(
        explanation.video or "a video",
        room * 0.6 if explanation.true_classes else room,
        _TITLE,
        bold=True,
        keep_end=True,
    )
    square = "; dashed: what the network sees" if cropped(explanation, explanation.steps[0]) else ""
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
    """Draw where in the video each step looked: filled for what was looked at, hollow for what was not."""
    axes = page.axes(2 * _EDGE, y + 0.02, page.width - 4 * _EDGE, _TIMELINE - 0.2)
    last = explanation.length - 1
    axes.set_xlim(*((-0.02 * last, 1.02 * last) if last else (-1, 1)))
    axes.set_ylim(-1, 1)
    axes.plot([0, last], [0, 0], color=PALE, linewidth=2, zorder=1)
    for position in sorted({look.position for look in explanation.steps}):
        steps = [look.step for look in explanation.steps if look.position == position]
        # A long mark at an end would leave the page if it stood in the middle of its place.
        at_end = len(steps) > 1 and last > 0
        side = "left" if at_end and position == 0 else "right" if at_end and position == last else "center"
        _draw_mark(axes, position, steps, explanation.exit_step, side)
    words = (
        ("", "the only frame", "")
        if not last
        else ("frame 0", f"which step looked where in {last + 1} frames", f"frame {last}")
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
