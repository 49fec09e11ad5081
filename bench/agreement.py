"""Whether two runs over the same videos gave the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import RunError
from .rows import PREDICTIONS


@dataclass(frozen=True)
class Agreement:
    """How many of ``videos`` differ in class and in exit step, and the largest difference of a top probability."""

    videos: int
    other_class: int
    other_exit_step: int
    probability_difference: float


def agreement(one: Path, other: Path) -> Agreement:
    """Compare two finished runs video by video.

    Raises:
        RunError: a run has no table of predictions, or they are not over the same videos.
    """
    import polars

    for run in (one, other):
        if not (run / PREDICTIONS).is_file():
            raise RunError(f"{run / PREDICTIONS}: not there", "give finished runs")
    first, second = (polars.read_parquet(run / PREDICTIONS, glob=False) for run in (one, other))
    both = first.join(second, on="video", suffix="_other")
    if not len(first) == len(second) == len(both):
        raise RunError(f"{one} and {other} are not over the same videos", "compare runs over the same data set")

    def differing(column: str) -> int:
        return int((~both[column].eq_missing(both[f"{column}_other"])).sum())

    largest = (both["probability"] - both["probability_other"]).abs().max()
    return Agreement(
        len(both),
        differing("prediction"),
        differing("exit_step"),
        float(largest) if isinstance(largest, float) else 0.0,
    )
