"""Sweeps of the reported runs: read from the run folders, or small ones replayed from their traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...bench.sweep.operating_points import Point
from ...bench.sweep.sweep import read_sources, sweep
from ...bench.sweep.sweep_file import SWEEP, Sweep, make_sweep, read_sweep
from ...bench.trace.trace_file import TRACE
from ..runs.operating_point import METRICS
from ..runs.text_format import join_words, number_text, range_text
from .runs import ReportedRun
from .tables import PAPER_GFLOPS, Table

_MAX_FRONT_POINTS = 12
# Enough for a curve, and quick; the table that vbench sweep wrote is used instead if there is one.
_REPLAYED_POINTS = {"top1": 200, "map": 16}


def sweeps_of(runs: Sequence[ReportedRun]) -> list[Sweep]:
    """Return the sweeps of runs: those in their folders, and a small replayed one for every other trace.

    Raises:
        RunError: a sweep or a trace is damaged.
    """
    found = [read_sweep(run.path) for run in runs if (run.path / SWEEP).is_file()]
    covered = {Path(name).resolve() for each in found for name in each.videos}
    covered |= {run.path.resolve() for run in runs if (run.path / SWEEP).is_file()}
    return [*found, *(_replayed(run) for run in runs if _has_trace(run) and run.path.resolve() not in covered)]


def _has_trace(run: ReportedRun) -> bool:
    return (run.path / TRACE).is_file()


def _replayed(run: ReportedRun) -> Sweep:
    sources = read_sources([run.path])
    return make_sweep(sources, sweep(sources, points=_REPLAYED_POINTS[sources[0].trace.header.metric]))


def front_table(sweep: Sweep) -> Table:
    """Return a table of selected points of a sweep: the default policy and up to twelve from the Pareto front."""
    metric = METRICS.get(sweep.metric, sweep.metric)
    words = ("policy", "kind") if len(sweep.videos) == 1 else ("policy", "kind", "bundle")
    numbers = (metric, "95 % interval", PAPER_GFLOPS, "GMACs", "frames", "expected ms", "expected videos/s")
    found = list(_selected(sweep.points))
    table = Table(
        f"Points of the Pareto front on {sweep.dataset}, {join_words(sorted({point.bundle for _, point in found}))}",
        (*words, *numbers),
        tuple(_point_cells(mark, point, len(words)) for mark, point in found),
        words=len(words),
        notes=tuple(_front_notes(sweep, [point for _, point in found])),
    )
    return table if any(point.gflops_paper is not None for _, point in found) else table.without(PAPER_GFLOPS)


def _selected(points: Sequence[Point]) -> Iterator[tuple[str, Point]]:
    yield from (("default", point) for point in points if point.family == "default")
    front = sorted((point for point in points if point.pareto), key=lambda point: point.gmacs)
    if len(front) > _MAX_FRONT_POINTS:
        front = [front[round(place * (len(front) - 1) / (_MAX_FRONT_POINTS - 1))] for place in range(_MAX_FRONT_POINTS)]
    yield from (("front", point) for point in front)


def _point_cells(mark: str, point: Point, words: int) -> tuple[str, ...]:
    policy = f"{point.policy_label}{' (searched)' if point.searched else ''}"
    return (
        *(policy, mark, point.bundle)[:words],
        number_text(point.accuracy, "%"),
        range_text(point.interval),
        number_text(point.gflops_paper),
        number_text(point.gmacs, digits=4),
        number_text(point.mean_frames),
        number_text(point.latency_ms),
        number_text(point.videos_per_s, digits=1),
    )


def _front_notes(sweep: Sweep, found: Sequence[Point]) -> Iterator[str]:
    yield (
        f"Selected from {len(sweep.points)} policies replayed over a recorded trace; no policy is both more accurate "
        "and cheaper than one on the front. Times are predicted from measured step times."
    )
    if any(point.searched for point in found):
        yield "Searched thresholds are shown on the videos they were searched on, so their accuracy is optimistic."
