"""The figures of a report: which there are, and what is said below each.

A figure that these runs do not allow is left out with the reason, since a report of fewer figures is better than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """A figure as it stands on the page; ``svg`` is markup, the rest plain text."""

    title: str
    caption: str
    svg: Markup


class Figures(NamedTuple):
    """The figures, and of every one that cannot be drawn its title and why."""

    drawn: tuple[DrawnFigure, ...]
    left_out: tuple[str, ...]


class _Plan(NamedTuple):
    key: str
    title: str
    caption: str
    build: Callable[[], Figure]


_CAPTIONS = {
    "efficiency": "Each mark is a run, each line one network, engine and data set. Further up is more often right, "
    "further left costs less; a run that lies to the lower right of another is not worth its compute.",
    "frames": "Accuracy of frame-flexible networks, on the left against the frames that a video is given, on the right "
    "against compute. Where a line is flat, more frames buy nothing; a cascade stands at the mean of all frames seen.",
    "exits": "The share of videos that stopped at each step, one panel a run (without those that all stopped at one "
    "step); the dashed line is the mean. Bars on the left are videos that were told early, a bar at the last step "
    "those that used everything.",
    "latency": "Each mark is the median latency of a run's videos, decoding included; whiskers reach to the 90th "
    "percentile where there are enough videos for one. Further up and further left is better.",
    "steps": "How long the videos took that stopped at a step: the line is the median, whiskers reach to the 90th "
    "percentile, and the gray bars are the share of videos. A gap is a step at which no video stopped.",
    "speedup": "How many times less compute a run takes than the run over all frames, and how many times more videos a "
    "second it does. On the dashed line all of the saving became speed; the percentage is how much of it did.",
    "sweep": "Policies replayed over a recorded trace, each at its accuracy and compute: what other thresholds "
    "would have given on these videos, without running the network again. Up and to the left is better.",
}


def draw(points: Sequence[OperatingPoint], sweeps: Sequence[Sweep]) -> Figures:
    """Draw every figure that the runs allow."""
    drawn, left_out = [], []
    for plan in _plans(points, sweeps):
        try:
            drawn.append(DrawnFigure(plan.title, plan.caption, _svg(plan)))
        except (UsageError, RunError) as error:
            left_out.append(f"{plan.title}: {error.message}.")
    return Figures(tuple(drawn), tuple(left_out))


def _plans(points: Sequence[OperatingPoint], sweeps: Sequence[Sweep]) -> Iterator[_Plan]:
    def plan(key: str, title: str, build: Callable[[], Figure]) -> _Plan:
        return _Plan(key, title, _CAPTIONS[key], build)

    flexible = [point for point in points if point.frame_counts]
    stopping = [point for point in points if sum(count > 0 for count in point.exit_counts) > 1]
    yield plan("efficiency", "Accuracy against compute", lambda: efficiency_figure(points))
    if flexible:
        yield plan("frames", "Accuracy against frames", lambda: frames_figure(flexible))
    if stopping:
        yield plan("exits", "Where videos stopped", lambda: exits_figure(stopping))
    yield plan("latency", "Accuracy against latency", lambda: latency_figure(points))
    if stopping:
        yield plan("steps", "Latency by exit step", lambda: steps_figure(stopping))
    yield plan("speedup", "How much of the saving became speed", lambda: speedup_figure(points))
    if sweeps:
        yield plan("sweep", "What other policies would have given", lambda: _sweep_figure(sweeps))


def _sweep_figure(sweeps: Sequence[Sweep]) -> Figure:
    from ..figures.sweep import sweep_figure

    return sweep_figure(sweeps)


def _svg(plan: _Plan) -> Markup:
    from .svg import inline_svg

    # Markup, because matplotlib has escaped every name in it.
    return Markup(inline_svg(plan.build(), f"{plan.key}-", plan.title))
