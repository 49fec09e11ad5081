"""What ``vbench compare`` prints, for a terminal and for a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bench.compare import Comparison
    from ..bench.limits import Checked
    from ..bench.pair import Side
    from ..bench.verdict import Quantity

_TITLES = {
    "top1": "top-1",
    "top5": "top-5",
    "map": "mAP",
    "frames": "mean frames",
    "gmacs": "GMACs",
    "mean": "latency mean",
    "p50": "latency p50",
    "p90": "latency p90",
    "p99": "latency p99",
    "videos_per_s": "videos/s",
}
_HEAD = ("", "before", "after", "difference", "95 % interval", "verdict")
_SCOPE = "Intervals are of other videos; what would differ if the same runs were repeated is not in them."


def text(found: Comparison, checked: Sequence[Checked]) -> str:
    """Return the comparison as aligned columns, what is behind them, and the limits."""
    rows = [_HEAD, *map(_cells, found.quantities)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    table = [
        "  ".join(
            f"{cell:<{width}}" if column in (0, len(_HEAD) - 1) else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    sides = [f"{name:<7} {side.run}: {_side(side)}" for name, side in zip(_HEAD[1:3], (found.before, found.after))]
    return "\n".join([*sides, "", *table, "", *_remarks(found), *_limits(checked)])


def markdown(found: Comparison, checked: Sequence[Checked]) -> str:
    """Return the comparison as a GitHub-flavoured table; names in it are plain text, whatever they hold."""
    sides = [
        f"- {name}: **{_escaped(Path(side.run).absolute().name)}**, {_escaped(_side(side))}"
        for name, side in zip(_HEAD[1:3], (found.before, found.after))
    ]
    rows = [_HEAD, ("---", *4 * ["---:"], "---"), *map(_cells, found.quantities)]
    remarks = [f"- {_escaped(remark)}" for remark in (*_remarks(found), *_limits(checked))]
    return "\n".join([*sides, "", *("| " + " | ".join(row) + " |" for row in rows), "", *remarks])


def limit_text(limit: Checked) -> str:
    """Say by how much the quantity of a limit differs, and whether that is more than was allowed."""
    verb = "rose" if limit.difference > 0 else "fell"
    moved = f"{verb} by {abs(limit.difference):.4g} {limit.unit}" if limit.difference else "did not move"
    zero = "includes" if limit.interval_includes_zero else "excludes"
    beyond = "more than" if limit.failed else "within"
    return f"{limit.name} {moved}, {beyond} {limit.limit} (the interval {zero} zero)"


def _cells(quantity: Quantity) -> tuple[str, ...]:
    low, high = (f"{end:+.2f}" for end in quantity.interval)
    return (
        _TITLES[quantity.name],
        *(f"{value:.{_digits(quantity)}f} {quantity.unit}".rstrip() for value in (quantity.before, quantity.after)),
        f"{quantity.difference:+.2f} {quantity.difference_unit}",
        f"{low} .. {high}",
        quantity.verdict,
    )


def _digits(quantity: Quantity) -> int:
    return 4 if quantity.name == "gmacs" else 2


def _side(side: Side) -> str:
    from ..plots.policies import policy_text

    return ", ".join(filter(None, (side.bundle, f"{side.engine} {side.precision}", policy_text(side.policy))))


def _remarks(found: Comparison) -> Iterator[str]:
    yield (
        f"{found.videos} videos of {found.dataset}: {found.other_class} changed class, "
        f"{found.other_exit_step} changed exit step"
    )
    for quantity in found.quantities:
        if pairs := quantity.discordant:
            yield (
                f"{_TITLES[quantity.name]}: {pairs.only_before} right only before, {pairs.only_after} right only after "
                f"(McNemar p = {pairs.p:.3g})"
            )
    yield from _unanswered(found)
    if found.set_ups:
        yield f"Times are of different set-ups (before / after): {'; '.join(found.set_ups)}"
    yield _SCOPE


def _unanswered(found: Comparison) -> Iterator[str]:
    counts = found.unanswered
    if counts.only_before or counts.only_after:
        yield (
            f"Without an answer: {counts.only_before} videos only before, {counts.only_after} only after; they are "
            "wrong there, and in no time or cost"
        )
    if counts.both:
        yield f"Without an answer in both: {counts.both} videos; they are in nothing"


def _limits(checked: Sequence[Checked]) -> Iterator[str]:
    for limit in checked:
        yield f"{'FAILED' if limit.failed else 'ok'}: {limit_text(limit)}"


def _escaped(name: str) -> str:
    """Return text that GitHub shows as it is: no table cell, code, emphasis, link or tag comes of it."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(" ".join(name.split()), quote=False))
