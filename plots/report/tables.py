"""Tables of a report, with formatted cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...bench.records.answers import FailedVideo
from ...bench.records.timing import ENOUGH
from ..runs.operating_point import METRICS
from ..runs.text_format import NONE, join_words, number_text, range_text
from ..runs.timing import Latency
from .facts import shared_facts
from .runs import ReportedRun

PAPER_GFLOPS = "GFLOPs (paper)"
_MOST_VIDEOS = 50
_ACCURACY = "accuracy"


_RUNS_HEAD = (
    *("run", "bundle", "engine", "policy", _ACCURACY, "95 % interval", "top-5", "mean frames", PAPER_GFLOPS),
    *("GMACs", "videos/s", "p50 ms", "p90 ms", "p99 ms", "videos", "no answer", "left out"),
)


@dataclass(frozen=True)
class Table:
    """Cells with column headings; the first cell of a row is its heading.

    The first ``words`` columns contain left-aligned text, the rest numbers. ``notes`` appear below the table.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int
    notes: tuple[str, ...] = ()

    def without(self, column: str) -> Table:
        """Return the table without ``column``, which contains numbers."""
        place = self.head.index(column)

        def cut(cells: tuple[str, ...]) -> tuple[str, ...]:
            return (*cells[:place], *cells[place + 1 :])

        return replace(self, head=cut(self.head), rows=tuple(map(cut, self.rows)))


def runs_table(runs: Sequence[ReportedRun]) -> Table:
    """Return the table of the runs."""
    metrics = {METRICS[run.point.metric] for run in runs}
    accuracy = metrics.pop() if len(metrics) == 1 else _ACCURACY
    table = Table(
        "The runs: accuracy, cost and time of each",
        tuple(accuracy if name == _ACCURACY else name for name in _RUNS_HEAD),
        tuple(_run_cells(run, with_metric=accuracy == _ACCURACY) for run in runs),
        words=4,
        notes=tuple(_run_notes(runs)),
    )
    return table if _paper_counts(runs) else table.without(PAPER_GFLOPS)


def _paper_counts(runs: Sequence[ReportedRun]) -> bool:
    return any(run.point.gflops_paper is not None for run in runs)


def _run_cells(run: ReportedRun, *, with_metric: bool) -> tuple[str, ...]:
    point = run.point
    return (
        run.name,
        run.bundle,
        run.engine,
        f"{run.policy} (trace)" if run.traced else run.policy,
        number_text(point.accuracy, f"% {METRICS[point.metric]}" if with_metric else "%"),
        range_text(run.answers.interval),
        number_text(run.top5, "%"),
        number_text(point.mean_frames),
        number_text(point.gflops_paper),
        number_text(point.gmacs, digits=4),
        number_text(point.timing.videos_per_s, digits=1),
        *(number_text(value) for value in _percentiles(point.timing.latency)),
        str(point.timing.videos or NONE),
        str(run.errors),
        str(len(run.left_out)),
    )


def _percentiles(latency: Latency | None) -> tuple[float | None, ...]:
    return (latency.p50_ms, latency.p90_ms, latency.p99_ms) if latency else (None, None, None)


def _run_notes(runs: Sequence[ReportedRun]) -> Iterator[str]:
    yield "Accuracy is over the videos with an answer; its interval covers other videos drawn from the same source."
    yield "GMACs are counted over all parts executed, in billions of multiply-accumulates per video."
    yield (
        f"{PAPER_GFLOPS} follow the count of the network's authors: MACs of the backbone only, per frame."
        if _paper_counts(runs)
        else "The table has no GFLOPs as counted in a paper: the authors give no constant for these networks."
    )
    for column, (percent, enough) in enumerate(ENOUGH.items()):
        few = [run.name for run in runs if _percentiles(run.point.timing.latency)[column] is None]
        if few:
            yield f"No p{percent} for {join_words(few)}: it requires the latencies of {enough} videos."
    yield from (
        f"The times of {run.name} depend on the load of the machine. Conditions: {run.conditions}."
        for run in runs
        if run.conditions.startswith("UNSTABLE")
    )
    if any(run.traced for run in runs):
        yield "A run marked (trace) computes every step and gate of every video, regardless of any policy."


def unanswered_table(runs: Sequence[ReportedRun]) -> Table | None:
    """Return the table of videos without an answer, or None if every video has one."""
    found = _by_video((run.name, entry) for run in runs for entry in run.answers.unanswered)
    return _videos_table("Videos without an answer", found, len(runs))


def left_out_table(runs: Sequence[ReportedRun]) -> Table | None:
    """Return the table of missing videos, or None if no videos are missing."""
    found = _by_video((run.name, entry) for run in runs for entry in run.left_out)
    return _videos_table("Videos of the split that were left out", found, len(runs))


def _by_video(entries: Iterable[tuple[str, FailedVideo]]) -> dict[FailedVideo, list[str]]:
    found: dict[FailedVideo, list[str]] = {}
    for run, entry in entries:
        found.setdefault(entry, []).append(run)
    return found


def _videos_table(caption: str, found: dict[FailedVideo, list[str]], runs: int) -> Table | None:
    if not found:
        return None
    rows = [
        (entry.video, entry.reason, "all" if len(names) == runs else ", ".join(names)) for entry, names in found.items()
    ]
    more = len(rows) - _MOST_VIDEOS
    notes = (f"{more} more are listed in the tables of the runs.",) if more > 0 else ()
    return Table(caption, ("video", "reason", "runs"), tuple(rows[:_MOST_VIDEOS]), words=3, notes=notes)


def facts_table(runs: Sequence[ReportedRun]) -> Table:
    """Return the table of machine, versions and settings, stating where the runs differ."""
    rows = []
    for fact in shared_facts([run.facts for run in runs], [run.name for run in runs]):
        alike = len(fact.values) == 1
        value = "; ".join(value if alike else f"{value} ({', '.join(names)})" for value, names in fact.values)
        rows.append((fact.name, "same" if alike else "differs", value))
    head = ("setting", "in all runs", "value")
    return Table("Machine, versions and settings of the runs", head, tuple(rows), words=3)
