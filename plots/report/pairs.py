"""Paired comparisons of a report: the first run versus each of the others, where comparable."""

from __future__ import annotations

from collections.abc import Sequence

from ...bench.compare.compare import compare
from ...errors import RunError
from ..runs.text_format import join_words
from .comparison_text import COMPARISON_HEAD, SCOPE, quantity_cells, remarks
from .runs import ReportedRun, names_for_paths
from .tables import Table

_MOST_PAIRS = 5


def comparisons(runs: Sequence[ReportedRun]) -> tuple[list[Table], list[str]]:
    """Compare the first run with up to five others; return the tables, and a line for each run not compared."""
    tables: list[Table] = []
    omitted: list[str] = []
    for other in runs[1:]:
        if len(tables) == _MOST_PAIRS:
            remaining = [run.name for run in runs[runs.index(other) :]]
            return tables, [*omitted, f"Not compared, to keep the page short: {join_words(remaining)}."]
        try:
            tables.append(_table(runs[0], other))
        except RunError as error:
            why = names_for_paths(error.message, [runs[0], other])
            omitted.append(f"{runs[0].name} and {other.name} are not compared: {why}.")
    return tables, omitted


def _table(first: ReportedRun, other: ReportedRun) -> Table:
    found = compare(first.path, other.path)
    return Table(
        caption=f"{first.name} (before) and {other.name} (after)",
        head=("quantity", *COMPARISON_HEAD[1:]),
        rows=tuple(map(quantity_cells, found.quantities)),
        words=1,
        notes=tuple(f"{remark}." for remark in remarks(found) if remark != SCOPE),
    )
