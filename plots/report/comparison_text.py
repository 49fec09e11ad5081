"""Text and table cells of a run comparison, shared by the terminal, pull requests and the report page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...bench.compare.compare import Comparison
    from ...bench.compare.run_pair import ComparedRun
    from ...bench.compare.verdict import MetricDelta

COMPARISON_HEAD = ("", "before", "after", "difference", "95 % interval", "verdict")
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
    "accuracy": "accuracy",
    "speed_up": "x original",
    "efficiency": "efficiency",
}
SCOPE = "Intervals cover the sampling of videos, not the variation between repetitions of the same run."


def quantity_cells(quantity: MetricDelta) -> tuple[str, ...]:
    """Return the table row of a quantity, matching the columns of ``COMPARISON_HEAD``."""
    low, high = (f"{end:+.2f}" for end in quantity.interval)
    return (
        _TITLES[quantity.name],
        *(f"{value:.{_digits(quantity)}f} {quantity.unit}".rstrip() for value in (quantity.before, quantity.after)),
        f"{quantity.difference:+.2f} {quantity.difference_unit}",
        f"{low} .. {high}",
        quantity.verdict,
    )


def side_text(side: ComparedRun) -> str:
    """Describe one of the runs: bundle, engine, precision and policy."""
    return ", ".join(filter(None, (side.bundle, f"{side.engine} {side.precision}", side.policy_label)))


def remarks(found: Comparison) -> Iterator[str]:
    """Yield the notes on a comparison, one sentence each."""
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
    yield from _conditions(found)
    if found.set_ups:
        yield f"Times were measured under different settings (before / after): {'; '.join(found.set_ups)}"
    yield SCOPE


def _digits(quantity: MetricDelta) -> int:
    return 4 if quantity.name == "gmacs" else 2


def _conditions(found: Comparison) -> Iterator[str]:
    known = [
        f"{side.conditions.verdict} {name}"
        for name, side in (("before", found.before), ("after", found.after))
        if side.conditions is not None
    ]
    if known:
        yield f"Conditions of the measurements: {', '.join(known)}"
    if found.unstable:
        yield f"Times that differ are UNSTABLE instead of BETTER or WORSE ({'; '.join(found.unstable)})"


def _unanswered(found: Comparison) -> Iterator[str]:
    counts = found.unanswered
    if counts.only_before or counts.only_after:
        yield (
            f"Without an answer: {counts.only_before} videos only before, {counts.only_after} only after; they "
            "count as wrong and are excluded from times and cost"
        )
    if counts.both:
        yield f"Without an answer in either run: {counts.both} videos, which are excluded from all numbers"
