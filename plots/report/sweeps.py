"""What the traces of reported runs say about other policies: sweeps that lie there, or small ones replayed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...bench.sweep.operating_points import Point
from ...bench.sweep.sweep import read_sources, sweep
from ...bench.sweep.sweep_file import SWEEP, Sweep, make_sweep, read_sweep
from ...bench.trace.trace_file import TRACE
from ..runs.labels import join_words, number_text, range_text
from ..runs.operating_point import METRICS
from .runs import ReportedRun
from .tables import PAPER_GFLOPS, Table

_SHOWN = 12
# Enough for a curve, and quick: who wants more runs vbench sweep, whose table is then taken.
_REPLAYED = {"top1": 200, "map": 16}


def sweeps_of(runs: Sequence[ReportedRun]) -> list[Sweep]:
    """Return the sweeps of runs: those that lie in them, and for every other trace a small one that is made here.

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
    return make_sweep(sources, sweep(sources, points=_REPLAYED[sources[0].trace.header.metric]))


def front_table(sweep: Sweep) -> Table:
    """Return the points of a sweep to look at: its default, and about twelve of its Pareto front."""
    metric = METRICS.get(sweep.metric, sweep.metric)
    words = ("policy", "what") if len(sweep.videos) == 1 else ("policy", "what", "bundle")
    numbers = (metric, "95 % interval", PAPER_GFLOPS, "GMACs", "frames", "expected ms", "expected videos/s")
    found = list(_to_show(sweep.points))
    table = Table(
        f"Points of the Pareto front on {sweep.dataset}, {join_words(sorted({point.bundle for _, point in found}))}",
        (*words, *numbers),
        tuple(_point_cells(mark, point, len(words)) for mark, point in found),
        words=len(words),
        notes=tuple(_front_notes(sweep, [point for _, point in found])),
    )
    return table if any(point.gflops_paper is not None for _, point in found) else table.without(PAPER_GFLOPS)


def _to_show(points: Sequence[Point]) -> Iterator[tuple[str, Point]]:
    yield from (("default", point) for point in points if point.family == "default")
    front = sorted((point for point in points if point.pareto), key=lambda point: point.gmacs)
    if len(front) > _SHOWN:
        front = [front[round(place * (len(front) - 1) / (_SHOWN - 1))] for place in range(_SHOWN)]
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
        f"Of {len(sweep.points)} policies replayed over a recorded trace; no other policy of them has more accuracy "
        "for less compute than one on the front. Times are expected from the measured time of each step."
    )
    if any(point.searched for point in found):
        yield "Searched thresholds were found on the very videos they are shown on, so that their accuracy flatters."
