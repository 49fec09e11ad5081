"""Latency by exit step, one panel per run, with the share of videos per step as background bars.

A step at which no videos exited is a gap, and a step with too few videos for a p90 has no whisker: nothing is
interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import RunError
from ..runs.operating_point import OperatingPoint
from .exits import exit_shares
from .panels import panel_grid
from .series import label_decades, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG_RATIO = 20.0
_GRAY = "#D9D9D9"
# The bars are background and stay in the lower part of the panel.
_BAR_HEIGHT_SHARE = 0.45


class _Step(NamedTuple):
    """Latency of the videos that exited at a step, in milliseconds; NaN if unknown."""

    step: int
    p50_ms: float
    p90_ms: float


def plot_steps(points: Sequence[OperatingPoint], out: Path) -> list[Path]:
    """Draw the latency per exit step of each point and write the figure as PNG, SVG and PDF; return the three paths.

    Raises:
        UsageError: there are no points, a point has no videos, or ``out`` cannot be written.
        RunError: a run has no latency by exit step.
    """
    from .style import save

    return save(steps_figure(points), out)


def steps_figure(points: Sequence[OperatingPoint]) -> Figure:
    """Build the figure that ``plot_steps`` writes: p50 as a line and p90 as whiskers in ms, shares as gray bars."""
    from .style import figure_style

    with figure_style():
        figure, panels = panel_grid(points, _remarks(points))
        steps = [_steps(point) for point in points]
        largest = max(share for point in points for share in exit_shares(point))
        for panel, point, run_steps in zip(panels, points, steps):
            _draw_shares(panel, point, largest / _BAR_HEIGHT_SHARE)
            _draw_latency(panel, run_steps)
        _scale(panels[0], [value for run_steps in steps for value in _values(run_steps)])
        figure.supylabel("Latency (ms per video)", fontsize=10)
        _add_legend(figure, panels[0], largest)
    return figure


def _remarks(points: Sequence[OperatingPoint]) -> list[str]:
    """Return the settings (machine, schedule) in which the runs differ, one text per run."""
    settings = [[point.setting.machine for point in points], [point.setting.schedule for point in points]]
    differing = [texts for texts in settings if len(set(texts)) > 1]
    return [", ".join(texts[number] or "not recorded" for texts in differing) for number in range(len(points))]


def _steps(point: OperatingPoint) -> list[_Step]:
    by_step = point.timing.latency_by_step
    if all(latency is None or latency.p50_ms is None for latency in by_step):
        raise RunError(
            f"{point.series}, {point.label}: the run did not record latencies by exit step", "repeat the run"
        )
    return [
        _Step(step, *(_or_nan(value) for value in ((latency.p50_ms, latency.p90_ms) if latency else (None, None))))
        for step, latency in enumerate(by_step, start=1)
    ]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _values(steps: Sequence[_Step]) -> Iterator[float]:
    return (value for step in steps for value in step[1:] if not math.isnan(value))


def _draw_latency(axes: Axes, steps: Sequence[_Step]) -> None:
    from .style import PALETTE

    numbers, p50s = [step.step for step in steps], [step.p50_ms for step in steps]
    axes.plot(numbers, p50s, color=PALETTE[0], marker="s", markersize=4.5, label="p50, whiskers to p90")
    whiskers = [step for step in steps if not math.isnan(step.p90_ms)]
    ends = [step.p90_ms for step in whiskers]
    places = [step.step for step in whiskers]
    axes.vlines(places, [step.p50_ms for step in whiskers], ends, color=PALETTE[0], linewidth=1.0)
    axes.plot(places, ends, color=PALETTE[0], linestyle="None", marker="_", markersize=5, label="_p90")


def _draw_shares(axes: Axes, point: OperatingPoint, top: float) -> None:
    """Draw the bars on a second axis behind the latencies."""
    behind = axes.twinx()
    behind.bar(range(1, len(point.exit_counts) + 1), exit_shares(point), color=_GRAY, width=0.8)
    behind.set_ylim(0, top)
    behind.grid(visible=False)
    behind.tick_params(right=False, labelright=False)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Start the shared axis at 0, or make it logarithmic if one run is far slower than another."""
    if spread(values) > _LOG_RATIO:
        axes.set_yscale("log")
        label_decades(axes.yaxis, subs=(1.0, 2.0, 5.0))
    else:
        axes.set_ylim(0, 1.08 * max(values))


def _add_legend(figure: Figure, axes: Axes, largest: float) -> None:
    """Add one legend for all panels; the bars have no axis, so the legend states the height of the tallest."""
    from matplotlib.patches import Patch

    shares = Patch(color=_GRAY, label=f"share of videos exiting at the step (tallest bar: {largest:.0f} %)")
    handles = [*axes.get_legend_handles_labels()[0], shares]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)
