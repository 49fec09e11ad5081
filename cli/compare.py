"""``vbench compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CheckError, UsageError
from .common.output import print_json
from .compare_text import markdown, text

if TYPE_CHECKING:
    from ..bench.compare.compare import Comparison
    from ..bench.compare.fail_if import Checked


def compare(
    before: Annotated[Path, typer.Argument(help="Run folder to compare with.")],
    after: Annotated[Path, typer.Argument(help="Run folder that is compared, over the same videos.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="NAME:LIMIT",
            help="Exit with 4 if a quantity fell (-) or rose (+) by more: top1:-0.5, p99:+5%, p50:+3ms; give it again.",
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
        raise UsageError("--json and --markdown are two forms of the same", "give one of them")
    from ..bench.compare.compare import compare as compare_runs
    from ..bench.compare.fail_if import check_limits, parse_limit

    limits = [parse_limit(given) for given in fail_if or []]
    found = compare_runs(before, after)
    checked = check_limits(limits, found)
    if as_json:
        print_json(_document(found, checked))
    else:
        print(markdown(found, checked) if as_markdown else text(found, checked))
    _fail(checked)


def _document(found: Comparison, checked: Sequence[Checked]) -> dict[str, object]:
    from ..bench.stats.bootstrap import LEVEL

    return {**asdict(found), "level": LEVEL, "limits": [asdict(limit) for limit in checked]}


def _fail(checked: Sequence[Checked]) -> None:
    from .compare_text import limit_text

    failed = [limit_text(limit) for limit in checked if limit.failed]
    if failed:
        raise CheckError(", ".join(failed), "the table says what else differs")
