"""A grid with one panel per run on shared axes, used by the exit-step figures.

Panels rather than lines or grouped bars: ten series at ten steps would be illegible in one plot, and stacked panels
make shapes easy to compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from ...errors import UsageError
from ..runs.operating_point import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLUMNS = 3
# Title characters that fit above a panel, by number of panels per row.
_TITLE_CHARACTERS = {1: 90, 2: 44, 3: 29}
_MAX_TICKS = 10


def panel_grid(points: Sequence[OperatingPoint], remarks: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return a figure with one titled panel per point, steps numbered from 1; use it within ``figure_style``.

    Args:
        points: runs with at least one video each.
        remarks: the last line of each panel's title.

    Raises:
        UsageError: there are no points, or a point has no videos.
    """
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES

    _check(points)
    columns = min(len(points), _MAX_COLUMNS)
    rows = math.ceil(len(points) / columns)
    figure = Figure(figsize=(WIDTH_INCHES, 1.0 + 1.9 * rows if rows > 1 else 3.0))
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for panel, point, remark in zip(panels, points, remarks):
        panel.set_title(_title(point, remark, _TITLE_CHARACTERS[columns]), fontsize=8)
        panel.grid(visible=False, axis="x")
    _number_steps(panels[0], max(len(point.exit_counts) for point in points))
    _remove_unused(panels, len(points), columns)
    # With frame counts, each step reads its own clip, so steps are not frames.
    steps_are_frames = not any(point.frame_counts for point in points)
    figure.supxlabel("Exit step (frames used)" if steps_are_frames else "Exit step", fontsize=10)
    return figure, panels[: len(points)]


def _check(points: Sequence[OperatingPoint]) -> None:
    if not points:
        raise UsageError("there are no runs to plot", "pass at least one run folder")
    for point in points:
        if sum(point.exit_counts) == 0:
            raise UsageError(
                f"{point.series}: the run has no videos with an exit step", "plot a run with at least one video"
            )


def _title(point: OperatingPoint, remark: str, characters: int) -> str:
    return "\n".join(fill(text, characters) for text in (point.series, point.label, remark) if text)


def _number_steps(axes: Axes, steps: int) -> None:
    axes.set_xticks(range(1, steps + 1, math.ceil(steps / _MAX_TICKS)))


def _remove_unused(panels: Sequence[Axes], used: int, columns: int) -> None:
    for place in range(used, len(panels)):
        panels[place].remove()
        # Shared axes label only the bottom row; the panel above a removed one is now the lowest in its column.
        panels[place - columns].tick_params(labelbottom=True)
