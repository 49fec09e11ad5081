"""Where the videos of a run left: the share of videos per exit step, with the mean marked.

One panel per run on common axes instead of grouped bars, because ten bars at each of ten steps cannot be read, and
because shapes are compared more easily one above the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ..errors import UsageError
from .points import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLUMNS = 3
# Characters of a title that fit above one of so many panels in a row.
_TITLE_CHARACTERS = {1: 90, 2: 44, 3: 29}
_MAX_TICKS = 10


def plot_exits(points: Sequence[OperatingPoint], out: Path) -> list[Path]:
    """Draw one exit histogram per point and write the figure as PNG and SVG; return the two paths.

    Raises:
        UsageError: no points, a point without any video, or an ``out`` that cannot be written.
    """
    from .style import save

    return save(exits_figure(points), out)


def exits_figure(points: Sequence[OperatingPoint]) -> Figure:
    """Build the figure that ``plot_exits`` writes: steps are counted from 1, bars are percent of the videos."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    _check(points)
    columns = min(len(points), _MAX_COLUMNS)
    rows = math.ceil(len(points) / columns)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, 1.0 + 1.9 * rows if rows > 1 else 3.0))
        panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        for panel, point, title in zip(panels, points, _titles(points, columns)):
            _draw(panel, point, title)
        _number_steps(panels[0], max(len(point.exit_counts) for point in points))
        _remove_spare(panels, len(points), columns)
        # Only FrameExit uses one frame a step.
        steps_are_frames = not any(point.frame_counts for point in points)
        figure.supxlabel("Exit step (frames used)" if steps_are_frames else "Exit step", fontsize=10)
        figure.supylabel("Videos (%)", fontsize=10)
    return figure


def _check(points: Sequence[OperatingPoint]) -> None:
    if not points:
        raise UsageError("no run to plot", "give at least one run folder")
    for point in points:
        if sum(point.exit_counts) == 0:
            raise UsageError(f"{point.series}: no video has left at any step", "plot a run with at least one video")


def _titles(points: Sequence[OperatingPoint], columns: int) -> list[str]:
    def wrapped(text: str) -> str:
        return fill(text, _TITLE_CHARACTERS[columns])

    return [
        "\n".join((wrapped(point.series), wrapped(point.label), f"mean {point.mean_step:.2f} (dashed)"))
        for point in points
    ]


def _number_steps(axes: Axes, steps: int) -> None:
    axes.set_xticks(range(1, steps + 1, math.ceil(steps / _MAX_TICKS)))


def _remove_spare(panels: Sequence[Axes], used: int, columns: int) -> None:
    for place in range(used, len(panels)):
        panels[place].remove()
        # On shared axes only the lowest panel is numbered; the one above a gap now is the lowest of its column.
        panels[place - columns].tick_params(labelbottom=True)


def _draw(axes: Axes, point: OperatingPoint, title: str) -> None:
    from .style import PALETTE

    steps = range(1, len(point.exit_counts) + 1)
    videos = sum(point.exit_counts)
    axes.bar(steps, [100 * count / videos for count in point.exit_counts], color=PALETTE[4], width=0.8)
    axes.axvline(point.mean_step, color=PALETTE[1], linestyle="--", linewidth=1.3)
    axes.set_title(title, fontsize=8)
    axes.grid(visible=False, axis="x")
