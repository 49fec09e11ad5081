"""Figures of a report and their captions.

A figure that cannot be drawn from these runs is omitted, and the reason is reported: a report with fewer figures is
better than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from ...bench.sweep.sweep_file import Sweep
from ...errors import RunError, UsageError
from ..figures.efficiency import efficiency_figure
from ..figures.exits import exits_figure
from ..figures.frame_counts import frames_figure
from ..figures.latency import latency_figure
from ..figures.speedup import speedup_figure
from ..figures.time_by_exit import steps_figure
from ..runs.operating_point import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DrawnFigure(NamedTuple):
    """A figure on the page; ``svg`` is markup, the rest plain text."""

    title: str
    caption: str
    svg: Markup


class Figures(NamedTuple):
    """The drawn figures and, for each omitted one, its title and the reason."""

    drawn: tuple[DrawnFigure, ...]
    left_out: tuple[str, ...]


class FigurePlan(NamedTuple):
    """A figure to draw; ``key`` is unique on the page."""

    key: str
    title: str
    caption: str
    build: Callable[[], Figure]


_CAPTIONS = {
    "efficiency": "Each marker is a run, each line one network, engine and data set. Higher is more accurate, further "
    "left is cheaper; a run to the lower right of another is dominated by it.",
    "frames": "Accuracy of frame-flexible networks, on the left against the number of frames per video, on the right "
    "against compute. Where a line is flat, more frames gain nothing; a cascade appears at its mean frame count.",
    "exits": "The share of videos that exited at each step, one panel per run (omitting runs with a single exit step); "
    "the dashed line is the mean. Bars on the left are videos that exited early; the bar at the last step is videos "
    "that used all steps.",
    "latency": "Each marker is the median latency of a run's videos, including decoding; whiskers extend to the 90th "
    "percentile where there are enough videos. Higher and further left is better.",
    "steps": "Latency of the videos that exited at each step: the line is the median, whiskers extend to the 90th "
    "percentile, and the gray bars are the share of videos. A gap is a step at which no videos exited.",
    "speedup": "Reduction in compute relative to the run over all frames, and the resulting increase in throughput. On "
    "the dashed line the saving is fully realized; the percentages give the realized share.",
    "sweep": "Policies replayed over a recorded trace, each at its accuracy and compute: the results of "
    "other thresholds on these videos, without running the network again. Higher and further left is better.",
}


def draw(points: Sequence[OperatingPoint], sweeps: Sequence[Sweep]) -> Figures:
    """Draw every figure possible for these runs."""
    return draw_plans(_plans(points, sweeps))


def draw_plans(plans: Iterable[FigurePlan]) -> Figures:
    """Draw every planned figure that can be drawn."""
    drawn, left_out = [], []
    for plan in plans:
        try:
            drawn.append(DrawnFigure(plan.title, plan.caption, _svg(plan)))
        except (UsageError, RunError) as error:
            left_out.append(f"{plan.title}: {error.message}.")
    return Figures(tuple(drawn), tuple(left_out))


def _plans(points: Sequence[OperatingPoint], sweeps: Sequence[Sweep]) -> Iterator[FigurePlan]:
    def plan(key: str, title: str, build: Callable[[], Figure]) -> FigurePlan:
        return FigurePlan(key, title, _CAPTIONS[key], build)

    flexible = [point for point in points if point.frame_counts]
    early = [point for point in points if sum(count > 0 for count in point.exit_counts) > 1]
    yield plan("efficiency", "Accuracy against compute", lambda: efficiency_figure(points))
    if flexible:
        yield plan("frames", "Accuracy against frames", lambda: frames_figure(flexible))
    if early:
        yield plan("exits", "Exit steps", lambda: exits_figure(early))
    yield plan("latency", "Accuracy against latency", lambda: latency_figure(points))
    if early:
        yield plan("steps", "Latency by exit step", lambda: steps_figure(early))
    yield plan("speedup", "Realized speed-up", lambda: speedup_figure(points))
    if sweeps:
        yield plan("sweep", "Other policies, replayed", lambda: _sweep_figure(sweeps))


def _sweep_figure(sweeps: Sequence[Sweep]) -> Figure:
    from ..figures.sweep import sweep_figure

    return sweep_figure(sweeps)


def _svg(plan: FigurePlan) -> Markup:
    from .svg import inline_svg

    # Safe as markup: matplotlib has escaped every name in it.
    return Markup(inline_svg(plan.build(), f"{plan.key}-", plan.title))
