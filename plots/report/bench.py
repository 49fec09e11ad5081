"""A report's section on one benchmark; all text is plain, and the template escapes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...bench.benchmark import Bench, BenchRow, bench_rows, read_bench, recommendation
from ...bench.benchmark.table import notes, tables
from ...errors import RunError
from ..figures.bench import BENCH_FIGURES
from ..figures.bench_contenders import shown_bench
from ..runs.text_format import count_text, join_words
from .figures import DrawnFigure, FigurePlan, Figures, draw_plans
from .tables import Table

_TITLES = {
    "speed": "Speed against answers",
    "efficiency": "Efficiency of the saved compute",
    "time": "Shares of time",
}
_CAPTIONS = {
    "speed": "Each marker is a contender: its videos per second against its accuracy or, without labels, against the "
    "share of videos with the reference's class. Higher and further right is better.",
    "efficiency": "The share of the theoretical speed-up (GMACs) over all frames that a contender realizes in time. At "
    "the dashed line, all saved compute is saved time.",
    "time": "Waiting, backbone, heads and scheduling add up to the time per video. Decoding and preprocessing run "
    "concurrently with the rest, or make it wait.",
}


@dataclass(frozen=True)
class BenchSection:
    """Contents of the section, top to bottom; ``interrupted`` is "" for a complete benchmark."""

    title: str
    heading: str
    summary: str
    interrupted: str
    recommendation: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    figures: tuple[DrawnFigure, ...]
    figures_left_out: tuple[str, ...]
    facts: Table
    command: str


def read_section(folder: Path, prefix: str) -> BenchSection:
    """Read a benchmark, and draw its figures.

    Args:
        folder: folder written by ``vbench bench``.
        prefix: start of the figures' identifiers, unique on the page.

    Raises:
        RunError: the benchmark is damaged.
    """
    bench = read_bench(folder)
    rows, header = bench_rows(bench), bench.header
    figures = _figures(bench, rows, prefix)
    name = Path(header.bundle).name
    return BenchSection(
        title=f"{name} on {header.clips.dataset}",
        heading=f"Benchmark of {name}",
        summary=_summary(bench, name),
        interrupted="" if bench.complete else "The benchmark was interrupted: these are the results up to that point.",
        recommendation=_sentence(recommendation(rows)),
        tables=tuple(_tables(bench, rows)),
        notes=notes(rows),
        figures=figures.drawn,
        figures_left_out=figures.left_out,
        facts=Table("Machine and versions", ("setting", "value"), tuple(_facts(bench)), words=2),
        command=header.command,
    )


def _summary(bench: Bench, name: str) -> str:
    clips = bench.header.clips
    repeats = max((len(result.measured) for result in bench.results), default=0)
    return (
        f"How fast is each way to run {name} ({bench.header.network}), and how much of the saved compute becomes saved "
        f"time? {count_text(len(bench.results), 'contender')}, each in its own process, took turns over "
        f"{count_text(clips.videos, 'video')} of {clips.dataset}, in {count_text(repeats, 'repetition')}."
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _tables(bench: Bench, rows: Sequence[BenchRow]) -> Iterator[Table]:
    for each in tables(rows, bench.header.clips.metric):
        yield Table(each.title.capitalize(), each.head, each.rows, words=each.words)
    if bench.header.absent:
        yield Table("Not measured", ("contender", "reason"), tuple(map(tuple, bench.header.absent)), words=2)


def _figures(bench: Bench, rows: Sequence[BenchRow], prefix: str) -> Figures:
    try:
        shown = shown_bench(bench, rows)
    except RunError as error:
        return Figures((), (f"{join_words(list(_TITLES.values()))}: {error.message}.",))
    return draw_plans(
        FigurePlan(f"{prefix}{name}", _TITLES[name], _CAPTIONS[name], partial(build, shown))
        for name, build in BENCH_FIGURES.items()
    )


def _facts(bench: Bench) -> Iterator[tuple[str, str]]:
    header = bench.header
    yield from ((name, str(value)) for name, value in header.machine.items())
    yield "instructions for low precision", header.low_precision
    yield "bundle's SHA-256", header.bundle_sha256
    yield "started", header.date
    yield from header.versions.items()
