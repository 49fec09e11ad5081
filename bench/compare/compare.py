"""Compare two finished runs over the same videos: metric deltas, confidence intervals and verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import RunError
from .agreement import agreement
from .metric_deltas import accuracies, costs
from .run_pair import ComparedRun, read_pair
from .unstable import unstable_reasons, without_unstable_times
from .verdict import MetricDelta


@dataclass(frozen=True)
class Unanswered:
    """Numbers of videos that lack a prediction in one run or in both."""

    only_before: int
    only_after: int
    both: int


@dataclass(frozen=True)
class Comparison:
    """Two runs and their differences.

    Attributes:
        other_class, other_exit_step: numbers of videos that changed; see ``Agreement``.
        absent: metrics that are unavailable for these runs, each with the reason.
        set_ups: human-readable list of other configuration differences that affect timing.
        unstable: reasons why the times cannot be compared; () if they can.
    """

    before: ComparedRun
    after: ComparedRun
    dataset: str
    metric: str
    videos: int
    unanswered: Unanswered
    other_class: int
    other_exit_step: int
    quantities: tuple[MetricDelta, ...]
    absent: dict[str, str]
    set_ups: tuple[str, ...]
    unstable: tuple[str, ...] = ()


def compare(before: Path, after: Path) -> Comparison:
    """Compare two finished runs.

    A video without a prediction in one run counts as wrong there and is excluded from time and cost. A video without a
    prediction in either run is excluded everywhere, as in the accuracy of a single run; one without a label is excluded
    from top-1 and top-5. ``videos_per_s`` counts only the time spent on the included videos. If the conditions of a run
    were UNSTABLE, or the load differed, times are UNSTABLE instead of BETTER or WORSE.

    Raises:
        RunError: a run cannot be read, the runs cover different videos, or no videos have a prediction in both; see
            ``read_pair``.
    """
    pair = read_pair(before, after)
    one, other = (answers.answered for answers in pair.answers)
    if not (one & other).any():
        raise RunError(f"{before} and {after} have no videos with a prediction in both", "see their error columns")
    changes = agreement(before, after)
    deltas = {**accuracies(pair, one | other), **costs(pair, one & other)}
    found, unstable = [each for each in deltas.values() if isinstance(each, MetricDelta)], unstable_reasons(*pair.sides)
    return Comparison(
        before=pair.sides[0],
        after=pair.sides[1],
        dataset=pair.dataset,
        metric=pair.metric,
        videos=len(one),
        unanswered=Unanswered(*(int(mask.sum()) for mask in (~one & other, one & ~other, ~one & ~other))),
        other_class=changes.other_class,
        other_exit_step=changes.other_exit_step,
        quantities=without_unstable_times(found) if unstable else tuple(found),
        absent={name: value for name, value in deltas.items() if isinstance(value, str)},
        set_ups=tuple(_timing_differences(*pair.sides)),
        unstable=unstable,
    )


def _timing_differences(before: ComparedRun, after: ComparedRun) -> Iterator[str]:
    """Yield the differences in machine, threads and schedule as text."""
    one, other = ({**side.machine, "threads": side.threads, **side.schedule} for side in (before, after))
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield f"{name} {one.get(name)} / {other.get(name)}"
