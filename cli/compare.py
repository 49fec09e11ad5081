"""``vbench compare``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CheckError, UsageError
from ..plots.report.comparison_text import COMPARISON_HEAD, quantity_cells, remarks, side_text
from ..text import markdown_text, printable
from .common.output import print_json

if TYPE_CHECKING:
    from ..bench.compare.compare import Comparison
    from ..bench.compare.fail_if import ThresholdResult


def compare(
    before: Annotated[Path, typer.Argument(help="Baseline run folder.")],
    after: Annotated[Path, typer.Argument(help="Run folder to compare with the baseline, over the same videos.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="NAME:LIMIT",
            help="Exit with code 4 if a metric falls (-) or rises (+) by more, such as top1:-0.5, p99:+5%, p50:+3ms; "
            "repeatable.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table, for a pull request.")
    ] = False,
) -> None:
    """Compare two finished runs video by video: accuracy, compute and time, with intervals and a verdict.

    Example: vbench compare runs/main runs/branch --fail-if top1:-0.5 --fail-if p50:+5%
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown are mutually exclusive", "pass only one of them")
    from ..bench.compare.compare import compare as compare_runs
    from ..bench.compare.fail_if import check_thresholds, parse_threshold

    limits = [parse_threshold(given) for given in fail_if or []]
    found = compare_runs(before, after)
    checked = check_thresholds(limits, found)
    if as_json:
        print_json(_document(found, checked))
    else:
        print(markdown(found, checked) if as_markdown else text(found, checked))
    _fail(checked)


def _document(found: Comparison, checked: Sequence[ThresholdResult]) -> dict[str, object]:
    from ..bench.stats.intervals import LEVEL

    return {**asdict(found), "level": LEVEL, "limits": [asdict(limit) for limit in checked]}


def _fail(checked: Sequence[ThresholdResult]) -> None:
    failed = [limit_text(limit) for limit in checked if limit.failed]
    if failed:
        raise CheckError(", ".join(failed), "see the table for other differences")


def text(found: Comparison, checked: Sequence[ThresholdResult]) -> str:
    """Return the comparison as aligned columns, followed by notes and threshold results."""
    rows = [COMPARISON_HEAD, *map(quantity_cells, found.quantities)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COMPARISON_HEAD))]
    table = [
        "  ".join(
            f"{cell:<{width}}" if column in (0, len(COMPARISON_HEAD) - 1) else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    sides = [
        f"{name:<7} {side.run}: {side_text(side)}"
        for name, side in zip(COMPARISON_HEAD[1:3], (found.before, found.after))
    ]
    return "\n".join(map(printable, [*sides, "", *table, "", *remarks(found), *_limits(checked)]))


def markdown(found: Comparison, checked: Sequence[ThresholdResult]) -> str:
    """Return the comparison as a GitHub-flavored table, with all names escaped."""
    sides = [
        f"- {name}: **{markdown_text(Path(side.run).absolute().name)}**, {markdown_text(side_text(side))}"
        for name, side in zip(COMPARISON_HEAD[1:3], (found.before, found.after))
    ]
    rows = [COMPARISON_HEAD, ("---", *4 * ["---:"], "---"), *map(quantity_cells, found.quantities)]
    noted = [f"- {markdown_text(remark)}" for remark in (*remarks(found), *_limits(checked))]
    return "\n".join([*sides, "", *("| " + " | ".join(row) + " |" for row in rows), "", *noted])


def limit_text(limit: ThresholdResult) -> str:
    """Describe the change of a metric and whether it exceeds the threshold."""
    verb = "rose" if limit.difference > 0 else "fell"
    change = f"{verb} by {abs(limit.difference):.4g} {limit.unit}" if limit.difference else "did not change"
    zero = "includes" if limit.interval_includes_zero else "excludes"
    beyond = "more than" if limit.failed else "within"
    return f"{limit.name} {change}, {beyond} {limit.limit} (the interval {zero} zero)"


def _limits(checked: Sequence[ThresholdResult]) -> Iterator[str]:
    for limit in checked:
        yield f"{'FAILED' if limit.failed else 'ok'}: {limit_text(limit)}"
