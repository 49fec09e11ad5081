"""Replay policies over traces, to explore the whole accuracy-compute plane with one pass over a data set.

Runs of several checkpoints over one data set (FrameExit's authors train one set of gates per point of their curve) form
one set of points with one Pareto front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import RunError
from ...names import valid_text
from ..trace.step_times import read_step_times, trace_step_times
from ..trace.trace_file import read_trace
from .operating_points import Point, ReplaySource, add_map_intervals, evaluate, mark_front
from .policy_grid import candidates

# A top-1 point takes a fraction of a millisecond; an mAP point has to sort all scores.
DEFAULT_POINTS = {"top1": 1000, "map": 64}

Listener = Callable[[str, int, int], None]


def read_sources(runs: Sequence[Path], timing: Path | None = None) -> list[ReplaySource]:
    """Read the traces of runs, with step times from the traces themselves or from the run ``timing``.

    Raises:
        RunError: a run has no trace, or the runs differ in their videos or metric.
    """
    found = []
    for run in runs:
        trace = read_trace(run)
        uniform = trace.header.costs.uniform
        times = (
            trace_step_times(trace, str(run))
            if timing is None
            else read_step_times(timing, trace.steps, uniform=uniform)
        )
        found.append(ReplaySource(valid_text(str(run)), trace, times))
        first = found[0].trace.header
        if (trace.header.dataset, trace.header.metric) != (first.dataset, first.metric):
            raise RunError(
                f"{run} uses {trace.header.dataset} ({trace.header.metric}), "
                f"but {runs[0]} uses {first.dataset} ({first.metric})",
                "sweep runs of one data set",
            )
        if set(trace.videos) != set(found[0].trace.videos):
            differing = len(set(trace.videos) ^ set(found[0].trace.videos))
            raise RunError(f"{run} and {runs[0]} differ in {differing} videos", "sweep runs over the same videos")
    return found


def sweep(
    sources: Sequence[ReplaySource],
    groups: tuple[str, ...] | None = None,
    points: int | None = None,
    listener: Listener = lambda _run, _done, _total: None,
) -> list[Point]:
    """Replay the policies of the groups (None: all); a group with thresholds has about ``points`` policies.

    Raises:
        UsageError: a network has no such group, or ``points`` is below 1.
    """
    found: list[Point] = []
    for source in sources:
        wanted = DEFAULT_POINTS[source.trace.header.metric] if points is None else points

        def report(done: int, total: int, run: str = source.run) -> None:
            listener(run, done, total)

        found += evaluate(source, candidates(source.trace, groups, wanted), report)
    marked = mark_front(found)
    return add_map_intervals(marked, sources) if sources[0].trace.header.metric == "map" else marked
