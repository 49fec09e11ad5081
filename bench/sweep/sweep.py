"""Replay policies over traces, to explore the whole accuracy-compute plane with one pass over a data set.

Runs of several checkpoints over one data set (FrameExit's authors train one set of gates per point of their curve) form
one set of points with one Pareto front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import RunError, UsageError
from ...names import valid_text
from ..stats.tag_precision import PROTOCOLS, TagProtocol
from ..trace.step_times import read_step_times, trace_step_times
from ..trace.trace import Trace
from ..trace.trace_file import read_trace
from .envelope import envelope
from .operating_points import Point, ReplaySource, add_map_intervals, evaluate, mark_front
from .policy_grid import candidates

# A top-1 point takes a fraction of a millisecond; an mAP point has to sort all scores.
DEFAULT_POINTS = {"top1": 1000, "map": 64}

Listener = Callable[[str, int, int], None]


def read_sources(
    runs: Sequence[Path], timing: Path | None = None, protocol: TagProtocol | None = None
) -> list[ReplaySource]:
    """Read the traces of runs, with step times from the traces themselves or from the run ``timing``.

    Args:
        runs: folders of runs with a trace.
        timing: folder of the run to take step times from, if not from the traces themselves.
        protocol: mAP protocol for traces with categories; None for the flat mean.

    Raises:
        UsageError: a trace without categories has no such protocol.
        RunError: a run has no trace, or the runs differ in their videos or metric.
    """
    found = []
    for run in runs:
        trace = _with_protocol(read_trace(run), protocol, run)
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
                "sweep only runs on the same data set",
            )
        if set(trace.videos) != set(found[0].trace.videos):
            differing = len(set(trace.videos) ^ set(found[0].trace.videos))
            raise RunError(f"{run} and {runs[0]} differ in {differing} videos", "sweep only runs on the same videos")
    return found


def _with_protocol(trace: Trace, protocol: TagProtocol | None, run: Path) -> Trace:
    if protocol is None:
        return trace
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}", f"choose one of {', '.join(PROTOCOLS)}")
    if trace.tag_labels is None:
        what = (
            f"{run} covers {trace.header.dataset}, whose classes have no categories, so there is no protocol to choose"
        )
        raise UsageError(what, "omit --protocol")
    return replace(trace, protocol=protocol)


def sweep(
    sources: Sequence[ReplaySource],
    groups: tuple[str, ...] | None = None,
    points: int | None = None,
    listener: Listener = lambda _run, _done, _total: None,
) -> list[Point]:
    """Replay the policies of the groups (None: all), about ``points`` per gate set and group with thresholds.

    If ``groups`` is None, each trace's points are followed by the envelope of its gate sets; see ``envelope.py``.

    Raises:
        UsageError: a network has no such group, or ``points`` is below 1.
    """
    found, held_out = list[Point](), list[Point]()
    for source in sources:
        wanted = DEFAULT_POINTS[source.trace.header.metric] if points is None else points

        def report(done: int, total: int, run: str = source.run) -> None:
            listener(run, done, total)

        found += evaluate(source, candidates(source.trace, groups, wanted), report)
        held_out += envelope(source, wanted) if groups is None else []
    marked = mark_front(found)
    marked = add_map_intervals(marked, sources) if sources[0].trace.header.metric == "map" else marked
    return [*marked, *held_out]
