"""``vbench compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CheckError, UsageError
from ..plots.report.comparison_text import COMPARISON_HEAD, quantity_cells, remarks, side_text
from ..plots.report.drift_text import DRIFT_HEAD, drift_cells, drift_remarks, drift_titles, sample_texts
from ..text import markdown_text, printable
from .common.output import print_json
from .common.threshold_text import fail_on_thresholds, threshold_lines
from .compare_benches import compare_bench_folders

if TYPE_CHECKING:
    from ..bench.compare.compare import Comparison
    from ..bench.compare.drift import Drift
    from ..bench.compare.fail_if import ThresholdResult
    from ..bench.compare.run_pair import ComparedRun


def compare(
    before: Annotated[Path, typer.Argument(help="Baseline: a run, or a benchmark.")],
    after: Annotated[Path, typer.Argument(help="Run or benchmark to compare with it.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="NAME:LIMIT",
            help="Exit code 4 if a metric falls (-) or rises (+) by more: top1:-0.5, p99:+5%, p50:+3ms; repeatable. "
            "Also for a time that was measured under UNSTABLE conditions: it is reported as not decided.",
        ),
    ] = None,
    drift: Annotated[
        bool,
        typer.Option("--drift", help="Compare runs over different videos by their distributions."),
    ] = False,
    fail_if_drift: Annotated[
        bool, typer.Option("--fail-if-drift", help="Exit code 4 if the overall verdict of --drift is DRIFT.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table, for a pull request.")
    ] = False,
) -> None:
    """Compare two finished runs video by video: accuracy, compute and time, with intervals and a verdict.

    With --drift, compare runs of one network over different videos: the distributions of exit steps, gate values and
    confidences, and the error rate. No labels are needed. Folders of vbench bench are compared contender by contender.

    Example: vbench compare runs/main runs/branch --fail-if top1:-0.5 --fail-if p50:+5%

    Two benchmarks: vbench compare benches/main benches/branch --fail-if inflight/videos_per_s:-5%

    Drift: vbench compare --drift runs/reference runs/today --fail-if-drift
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown are mutually exclusive", "pass only one of them")
    if drift and fail_if:
        raise UsageError("--fail-if does not apply to --drift", "pass --fail-if-drift")
    if fail_if_drift and not drift:
        raise UsageError("--fail-if-drift needs --drift", "add --drift, or pass --fail-if NAME:LIMIT")
    from ..bench.benchmark import is_bench

    if drift:
        _compare_drift(before, after, as_json, as_markdown, fail_if_drift)
    elif is_bench(before) and is_bench(after):
        compare_bench_folders(before, after, fail_if or [], as_json=as_json, as_markdown=as_markdown)
    else:
        _compare_videos(before, after, fail_if or [], as_json, as_markdown)


def _compare_videos(before: Path, after: Path, fail_if: Sequence[str], as_json: bool, as_markdown: bool) -> None:
    from ..bench.compare.compare import compare as compare_runs
    from ..bench.compare.fail_if import check_thresholds, parse_threshold

    limits = [parse_threshold(given) for given in fail_if]
    found = compare_runs(before, after)
    checked = check_thresholds(limits, found)
    if as_json:
        print_json(_document(found, checked))
    else:
        print(markdown(found, checked) if as_markdown else text(found, checked))
    fail_on_thresholds(checked)


def _compare_drift(reference: Path, today: Path, as_json: bool, as_markdown: bool, fail: bool) -> None:
    from ..bench.compare.drift import drift
    from ..bench.stats.intervals import LEVEL

    found = drift(reference, today)
    if as_json:
        print_json({**asdict(found), "level": LEVEL})
    else:
        print(_drift_markdown(found) if as_markdown else _drift_text(found))
    if fail and found.verdict == "DRIFT":
        raise CheckError(f"drift of {drift_titles(found, 'DRIFT')}", "see the table for the size of the change")


def _document(found: Comparison, checked: Sequence[ThresholdResult]) -> dict[str, object]:
    from ..bench.stats.intervals import LEVEL

    return {**asdict(found), "level": LEVEL, "limits": [asdict(limit) for limit in checked]}


def text(found: Comparison, checked: Sequence[ThresholdResult]) -> str:
    """Return the comparison as aligned columns, followed by notes and threshold results."""
    sides = [
        f"{name:<7} {side.run}: {side_text(side)}"
        for name, side in zip(COMPARISON_HEAD[1:3], (found.before, found.after))
    ]
    table = _columns([COMPARISON_HEAD, *map(quantity_cells, found.quantities)])
    return "\n".join(map(printable, [*sides, "", *table, "", *remarks(found), *threshold_lines(checked)]))


def markdown(found: Comparison, checked: Sequence[ThresholdResult]) -> str:
    """Return the comparison as a GitHub-flavored table, with all names escaped."""
    sides = [
        _markdown_side(name, side, side_text(side))
        for name, side in zip(COMPARISON_HEAD[1:3], (found.before, found.after))
    ]
    table = _markdown_table([COMPARISON_HEAD, *map(quantity_cells, found.quantities)])
    noted = [f"- {markdown_text(remark)}" for remark in (*remarks(found), *threshold_lines(checked))]
    return "\n".join([*sides, "", *table, "", *noted])


def _drift_text(found: Drift) -> str:
    sides = [
        f"{name:<9} {side.run}: {side_text(side)}; {videos}"
        for name, side, videos in zip(DRIFT_HEAD[1:3], (found.reference, found.today), sample_texts(found))
    ]
    table = _columns([DRIFT_HEAD, *map(drift_cells, found.rows)])
    return "\n".join(map(printable, [*sides, "", *table, "", *drift_remarks(found)]))


def _drift_markdown(found: Drift) -> str:
    sides = [
        _markdown_side(name, side, f"{side_text(side)}; {videos}")
        for name, side, videos in zip(DRIFT_HEAD[1:3], (found.reference, found.today), sample_texts(found))
    ]
    table = _markdown_table([DRIFT_HEAD, *map(drift_cells, found.rows)])
    return "\n".join([*sides, "", *table, "", *(f"- {markdown_text(remark)}" for remark in drift_remarks(found))])


def _markdown_side(name: str, side: ComparedRun, description: str) -> str:
    return f"- {name}: **{markdown_text(Path(side.run).absolute().name)}**, {markdown_text(description)}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the first and last columns to the left, the rest to the right."""
    last = len(rows[0]) - 1
    widths = [max(len(row[column]) for row in rows) for column in range(last + 1)]
    return [
        "  ".join(
            f"{cell:<{width}}" if column in (0, last) else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ("---", *(len(rows[0]) - 2) * ["---:"], "---")
    return ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]
