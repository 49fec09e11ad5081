"""Results of ``--fail-if`` thresholds as text, and the error if one failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...errors import CheckError

if TYPE_CHECKING:
    from ...bench.compare.fail_if import ThresholdResult


def limit_text(limit: ThresholdResult) -> str:
    """Describe the change in a metric, whether it exceeds the threshold, and whether the load may be the cause."""
    verb = "rose" if limit.difference > 0 else "fell"
    change = f"{verb} by {abs(limit.difference):.4g} {limit.unit}" if limit.difference else "did not change"
    zero = "includes" if limit.interval_includes_zero else "excludes"
    beyond = "more than" if limit.failed else "within"
    unstable = f"; {'not decided: ' if limit.failed else ''}the conditions were UNSTABLE" if limit.unstable else ""
    return f"{limit.name} {change}, {beyond} {limit.limit} (the interval {zero} zero{unstable})"


def threshold_lines(checked: Sequence[ThresholdResult]) -> Iterator[str]:
    """Yield a line for each threshold."""
    for limit in checked:
        outcome = "UNDECIDED" if limit.undecided else "FAILED" if limit.failed else "ok"
        yield f"{outcome}: {limit_text(limit)}"


def fail_on_thresholds(checked: Sequence[ThresholdResult]) -> None:
    """Raise CheckError if a threshold failed or could not be decided."""
    failed = [limit for limit in checked if limit.failed]
    if failed:
        repeat = all(limit.undecided for limit in failed)
        hint = "repeat both runs on an idle machine" if repeat else "see the table for other differences"
        raise CheckError(", ".join(map(limit_text, failed)), hint)
