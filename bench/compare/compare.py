"""Two finished runs over the same videos: what differs, in which direction, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import RunError
from .agreement import agreement
from .metric_deltas import accuracies, costs
from .run_pair import ComparedRun, read_pair
from .verdict import MetricDelta


@dataclass(frozen=True)
class Unanswered:
    """Videos without an answer in one run or in both."""

    only_before: int
    only_after: int
    both: int


@dataclass(frozen=True)
class Comparison:
    """Two runs and their differences.

    Attributes:
        other_class, other_exit_step: videos that changed, see ``Agreement``.
        absent: quantities that these runs do not have, and why.
        set_ups: what else than bundle, engine and precision differs and has a say in times, in words.
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


def compare(before: Path, after: Path) -> Comparison:
    """Compare two finished runs.

    A video without an answer in one run is wrong there, and in no quantity of time or cost. One that neither run
    answered is in nothing, as in the accuracy that each run reports by itself; one without a label is in no top-1 or
    top-5.
    ``videos_per_s`` is of the time between answers; the time spent on videos that are left out is not in it.

    Raises:
        RunError: a run cannot be read, the two are not of the same videos, or none was answered in both, see
            ``read_pair``.
    """
    pair = read_pair(before, after)
    one, other = (answers.answered for answers in pair.answers)
    if not (one & other).any():
        raise RunError(f"{before} and {after} have no video that both answered", "see the column error of their tables")
    changes = agreement(before, after)
    found = {**accuracies(pair, one | other), **costs(pair, one & other)}
    return Comparison(
        before=pair.sides[0],
        after=pair.sides[1],
        dataset=pair.dataset,
        metric=pair.metric,
        videos=len(one),
        unanswered=Unanswered(*(int(mask.sum()) for mask in (~one & other, one & ~other, ~one & ~other))),
        other_class=changes.other_class,
        other_exit_step=changes.other_exit_step,
        quantities=tuple(value for value in found.values() if isinstance(value, MetricDelta)),
        absent={name: value for name, value in found.items() if isinstance(value, str)},
        set_ups=tuple(_timing_differences(*pair.sides)),
    )


def _timing_differences(before: ComparedRun, after: ComparedRun) -> Iterator[str]:
    """Give in words what differs of machine, threads and schedule."""
    one, other = ({**side.machine, "threads": side.threads, **side.schedule} for side in (before, after))
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield f"{name} {one.get(name)} / {other.get(name)}"
