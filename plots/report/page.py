"""Report on runs and benchmarks as a single HTML file: question, results and measurement conditions.

The file is self-contained (style, figures as SVG) and has no scripts, so it can be mailed and opened anywhere. It
has no creation date, so the same runs give the same page. All text from a run's files is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...bench.benchmark import is_bench
from ...bench.records.timing import ENOUGH
from ...bench.sweep.sweep_file import Sweep
from ...errors import RunError, UsageError
from ...text import printable_lines
from ..runs.text_format import count_text, join_words
from .bench import read_section
from .comparison_text import SCOPE
from .figures import DrawnFigure, draw
from .pairs import comparisons
from .runs import ReportedRun, names_for_paths, read_runs
from .sentences import answers, question
from .sweeps import front_table, sweeps_of
from .tables import Table, facts_table, left_out_table, runs_table, unanswered_table

_MOST_NAMED = 3


@dataclass(frozen=True)
class ReportPage:
    """Contents of a report on runs, top to bottom, as plain text; the template only arranges them."""

    title: str
    question: str
    answers: tuple[str, ...]
    runs: Table
    figures: tuple[DrawnFigure, ...]
    figures_left_out: tuple[str, ...]
    fronts: tuple[Table, ...]
    comparisons: tuple[Table, ...]
    pairs_scope: str
    not_compared: tuple[str, ...]
    missing_videos: tuple[Table, ...]
    machines_differ: bool
    facts: Table
    enough: str
    percentiles: tuple[str, ...]
    commands: tuple[str, ...]


def report_html(paths: Sequence[Path], command: str, title: str | None = None) -> str:
    """Return the HTML report on the runs denoted by ``paths`` (see ``run_folders``), and on the benchmarks among them.

    Args:
        paths: run folders and benchmarks, in page order; the first run is compared with each of the others.
        command: command line that reproduces the page.
        title: page title; by default, the networks and data sets.

    Raises:
        UsageError: there is no run and no benchmark.
        RunError: a run is missing, unfinished or damaged, or has no accuracy; a benchmark is damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    benches = [read_section(path, f"bench{number}-") for number, path in enumerate(filter(is_bench, paths), start=1)]
    runs = [path for path in paths if not is_bench(path)]
    page = read_page(runs) if runs or not benches else None
    titles = [*([page.title] if page else []), *(bench.title for bench in benches)]
    commands = [*(page.commands if page else ()), *(bench.command for bench in benches)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2").render(
        title=title or "; ".join(dict.fromkeys(titles)),
        page=page,
        benches=benches,
        commands=tuple(dict.fromkeys(commands)),
        command=command,
        version=__version__,
    )


def _finalize(value: object) -> object:
    """Escape the control characters in a text; Jinja escapes its HTML. Texts in figures are already escaped."""
    return printable_lines(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def read_page(paths: Sequence[Path]) -> ReportPage:
    """Read the runs and assemble their part of the page for ``report_html``."""
    runs = read_runs(paths)
    if not runs:
        raise UsageError("there is no run to report on", "pass at least one run folder or benchmark")
    sweeps, failures = _sweeps(runs)
    figures = draw([run.point for run in runs], sweeps)
    compared, not_compared = comparisons(runs)
    return ReportPage(
        title=_title(runs),
        question=question(runs),
        answers=tuple(answers(runs)),
        runs=runs_table(runs),
        figures=figures.drawn,
        figures_left_out=(*figures.left_out, *failures),
        fronts=tuple(map(front_table, sweeps)),
        comparisons=tuple(compared),
        pairs_scope=SCOPE,
        not_compared=tuple(not_compared),
        missing_videos=tuple(table for table in (unanswered_table(runs), left_out_table(runs)) if table),
        machines_differ=len({run.point.setting.machine for run in runs}) > 1,
        facts=facts_table(runs),
        enough=join_words([f"{videos} for p{percent}" for percent, videos in ENOUGH.items()]),
        percentiles=tuple(_percentiles(runs)),
        commands=tuple(dict.fromkeys(run.command for run in runs)),
    )


def _title(runs: Sequence[ReportedRun]) -> str:
    bundles, datasets = (
        list(dict.fromkeys(names)) for names in zip(*((run.bundle, run.point.dataset) for run in runs))
    )
    named = join_words(bundles) if len(bundles) <= _MOST_NAMED else f"{len(bundles)} networks"
    return f"{named} on {join_words(datasets)}"


def _sweeps(runs: Sequence[ReportedRun]) -> tuple[list[Sweep], list[str]]:
    """Return the sweeps, or none and one line with the reason if reading or replaying fails."""
    try:
        return sweeps_of(runs), []
    except (RunError, UsageError) as error:
        return [], [f"Other policies, replayed: {names_for_paths(error.message, runs)}."]


def _percentiles(runs: Sequence[ReportedRun]) -> list[str]:
    """Return one line per number of answered videos: the available percentiles and the runs."""
    names: dict[int, list[str]] = {}
    for run in runs:
        names.setdefault(run.point.timing.latency.count if run.point.timing.latency else 0, []).append(run.name)
    available = {count: [f"p{percent}" for percent, enough in ENOUGH.items() if count >= enough] for count in names}
    return [
        f"{join_words(available[count] or ['no percentile'])} from {count_text(count, 'answered video')}: "
        f"{join_words(run_names)}"
        for count, run_names in names.items()
    ]
