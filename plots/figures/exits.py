"""Exit histograms: share of videos per exit step with the mean marked, one panel per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs.operating_point import OperatingPoint
from .panels import panel_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_exits(points: Sequence[OperatingPoint], out: Path) -> list[Path]:
    """Draw one exit histogram per point and write the figure as PNG, SVG and PDF; return the three paths.

    Raises:
        UsageError: there are no points, a point has no videos, or ``out`` cannot be written.
    """
    from .style import save

    return save(exits_figure(points), out)


def exits_figure(points: Sequence[OperatingPoint]) -> Figure:
    """Build the figure that ``plot_exits`` writes; steps are 1-based, and bars are percentages of the videos."""
    from .style import figure_style

    with figure_style():
        figure, panels = panel_grid(points, [_mean_text(point) for point in points])
        for panel, point in zip(panels, points):
            _draw(panel, point)
        figure.supylabel("Videos (%)", fontsize=10)
    return figure


def _mean_text(point: OperatingPoint) -> str:
    return f"mean {point.mean_step:.2f} (dashed)" if sum(point.exit_counts) else ""


def _draw(axes: Axes, point: OperatingPoint) -> None:
    from .style import PALETTE

    steps, shares = range(1, len(point.exit_counts) + 1), exit_shares(point)
    axes.bar(steps, shares, color=PALETTE[4], width=0.8)
    axes.axvline(point.mean_step, color=PALETTE[1], linestyle="--", linewidth=1.3)


def exit_shares(point: OperatingPoint) -> list[float]:
    """Return the percentage of videos that exited at each step, starting with step 1."""
    return [100 * count / sum(point.exit_counts) for count in point.exit_counts]
