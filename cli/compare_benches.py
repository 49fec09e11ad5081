"""``vbench compare`` of two benchmark folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..plots.report.comparison_text import COMPARISON_HEAD, quantity_cells
from ..text import markdown_text
from .common.output import aligned, print_json, print_lines
from .common.threshold_text import fail_on_thresholds, threshold_lines

if TYPE_CHECKING:
    from ..bench.compare.bench_pair import BenchComparison

_HEAD = ("contender", *COMPARISON_HEAD)


def compare_bench_folders(
    before: Path, after: Path, fail_if: Sequence[str], *, as_json: bool, as_markdown: bool
) -> None:
    """Print the comparison of two benchmarks and check the thresholds."""
    from ..bench.compare.bench_fail_if import check_bench_thresholds, parse_bench_threshold
    from ..bench.compare.bench_pair import compare_benches
    from ..bench.stats.intervals import LEVEL

    thresholds = [parse_bench_threshold(given) for given in fail_if]
    found = compare_benches(before, after)
    checked = check_bench_thresholds(thresholds, found)
    if as_json:
        print_json({**asdict(found), "level": LEVEL, "limits": [asdict(limit) for limit in checked]})
    elif as_markdown:
        rule = ("---", "---", *(len(_HEAD) - 3) * ["---:"], "---")
        table = ["| " + " | ".join(row) + " |" for row in (_HEAD, rule, *_rows(found))]
        print_lines(
            (*table, "", *(f"- {markdown_text(line)}" for line in (*_remarks(found), *threshold_lines(checked))))
        )
    else:
        print_lines((*aligned([_HEAD, *_rows(found)], 2).split("\n"), "", *_remarks(found), *threshold_lines(checked)))
    fail_on_thresholds(checked)


def _rows(found: BenchComparison) -> list[tuple[str, ...]]:
    return [(one.name, *quantity_cells(delta)) for one in found.contenders for delta in one.quantities]


def _remarks(found: BenchComparison) -> Iterator[str]:
    if not found.same_machine:
        yield "the machines differ: compare speed_up and efficiency, not raw times"
    for one in found.contenders:
        if one.other_answers:
            yield f"{one.name}: {one.other_answers} videos have a different class or exit step"
        for reason in one.unstable:
            yield f"{one.name}: {reason}"
    for name, which in ((found.only_before, "before"), (found.only_after, "after")):
        if name:
            yield f"only {which}: {'; '.join(name)}"
