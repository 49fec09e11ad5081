"""Drift between two runs of the same network over different videos: distributions, error rates and verdicts.

No labels are needed: with early exit, the exit steps, gate values and confidences of a deployment are a monitoring
signal. Every row has a two-sample test, whose p-value is corrected for the number of rows (Holm), and an effect size.
DRIFT requires both significance and a minimum effect, because with many videos every difference is significant. NO
DRIFT requires that the upper bound of the effect is below the minimum; anything else is UNDECIDED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..stats.intervals import LEVEL, Interval
from ..stats.proportions import fisher_p, proportion_difference
from ..stats.two_sample import Sample, holm, ks_test, mean_difference
from .drift_run import DriftRun, read_drift_runs
from .run_pair import ComparedRun

DriftVerdict = Literal["DRIFT", "NO DRIFT", "UNDECIDED"]

SIGNIFICANCE = 1 - LEVEL
"""Largest corrected p-value of a significant difference; bounds the probability of any false DRIFT in a comparison."""
MIN_DISTANCE = 0.1
"""Minimum Kolmogorov-Smirnov distance that counts as drift: 10 points more or fewer videos exit by some step."""
MIN_ERRORS = 2.0
"""Minimum change in the error rate that counts as drift, in points."""


@dataclass(frozen=True)
class LargestGap:
    """Value at which two distributions differ most, and the percentage of values up to it in each run."""

    value: float
    reference: float
    today: float


@dataclass(frozen=True)
class DriftRow:
    """One distribution, or the error rate, in both runs.

    Attributes:
        videos: numbers of videos with a value.
        reference, today: means in ``unit``.
        change: today minus reference, with its 95 % ``interval``; None with fewer than two videos.
        effect: size of the difference: a Kolmogorov-Smirnov distance (0..1), or a difference in points.
        at_most: one-sided 95 % upper bound of the effect.
        minimum: smallest effect that counts as drift.
        p: p-value of the test; ``corrected_p`` is corrected for the number of rows.
        gap: where the distributions differ most; None for the error rate.
    """

    name: str
    unit: str
    videos: tuple[int, int]
    reference: float
    today: float
    change: float
    interval: Interval | None
    effect: float
    effect_unit: Literal["distance", "points"]
    at_most: float
    minimum: float
    p: float
    corrected_p: float
    verdict: DriftVerdict
    gap: LargestGap | None = None


@dataclass(frozen=True)
class Drift:
    """Two runs and the drift between them.

    Attributes:
        verdict: DRIFT if any row drifts, else UNDECIDED if any row is.
        absent: distributions that are unavailable for these runs, each with the reason.
        same_names: number of videos with the same key in both runs.
        set_ups: human-readable list of other differences that affect the values.
    """

    reference: ComparedRun
    today: ComparedRun
    datasets: tuple[str, str]
    videos: tuple[int, int]
    errors: tuple[int, int]
    verdict: DriftVerdict
    rows: tuple[DriftRow, ...]
    absent: dict[str, str]
    same_names: int
    set_ups: tuple[str, ...]


def drift(reference: Path, today: Path) -> Drift:
    """Compare two finished runs over different videos.

    Raises:
        RunError: a run cannot be read, or the runs differ in more than their videos; see ``read_drift_runs``.
    """
    return drift_between(*read_drift_runs(reference, today))


def drift_between(one: DriftRun, other: DriftRun) -> Drift:
    """Compare two samples of videos, the reference and today."""
    found = {**_distributions(one, other), "error_rate": _error_rate(one, other)}
    rows = _with_verdicts([row for row in found.values() if isinstance(row, DriftRow)])
    return Drift(
        reference=one.side,
        today=other.side,
        datasets=(one.dataset, other.dataset),
        videos=(len(one.videos), len(other.videos)),
        errors=(one.errors, other.errors),
        verdict=overall_verdict(rows),
        rows=rows,
        absent={name: reason for name, reason in found.items() if isinstance(reason, str)},
        same_names=len(one.videos & other.videos),
        set_ups=tuple(
            f"{name} {getattr(one.side, name)} / {getattr(other.side, name)}"
            for name in ("engine", "precision")
            if getattr(one.side, name) != getattr(other.side, name)
        ),
    )


def drift_verdict(p: float, effect: float, at_most: float, minimum: float) -> DriftVerdict:
    """Return the verdict for a corrected p-value and an effect, given its upper bound and the minimum for drift."""
    if p <= SIGNIFICANCE and effect >= minimum:
        return "DRIFT"
    return "NO DRIFT" if at_most < minimum else "UNDECIDED"


def overall_verdict(rows: Sequence[DriftRow]) -> DriftVerdict:
    """Return the verdict for all rows together."""
    verdicts = {row.verdict for row in rows}
    return "DRIFT" if "DRIFT" in verdicts else "UNDECIDED" if "UNDECIDED" in verdicts else "NO DRIFT"


def _with_verdicts(rows: Sequence[DriftRow]) -> tuple[DriftRow, ...]:
    corrected = holm([row.p for row in rows])
    return tuple(
        replace(row, corrected_p=p, verdict=drift_verdict(p, row.effect, row.at_most, row.minimum))
        for row, p in zip(rows, corrected)
    )


def _distributions(one: DriftRun, other: DriftRun) -> dict[str, DriftRow | str]:
    runs = (one, other)
    return {
        "exit_step": _exit_step(one, other),
        "decisions": _row("decisions", runs, (one.decisions, other.decisions)),
        "gates": _row("gates", runs, (one.gates, other.gates)),
        "confidence": _row("confidence", runs, (one.confidences, other.confidences)),
    }


def _exit_step(one: DriftRun, other: DriftRun) -> DriftRow | str:
    """Compare the frames used, which order videos by their exit step."""
    if one.traced or other.traced:
        return "a trace runs all steps of every video"
    decided = any(len(sample.values) for run in (one, other) for sample in (run.decisions, run.gates))
    if not decided and len({*one.frames.values, *other.frames.values}) == 1:
        return "every video ends at the same step, without a decision"
    return _row("exit_step", (one, other), (one.frames, other.frames), unit="frames")


def _row(name: str, runs: tuple[DriftRun, DriftRun], samples: tuple[Sample, Sample], unit: str = "") -> DriftRow | str:
    """Compare two distributions, or return why a run has none."""
    one, other = samples
    empty = [run.side.run for run, sample in zip(runs, samples) if not len(sample.values)]
    if len(empty) == len(runs):
        return f"no video has one under the policy {runs[0].side.policy_label}"
    if empty:
        return f"no video of {empty[0]} has one"
    found = ks_test(one, other)
    return DriftRow(
        name=name,
        unit=unit,
        videos=(len(one.counts), len(other.counts)),
        reference=one.mean,
        today=other.mean,
        change=other.mean - one.mean,
        interval=mean_difference(one, other),
        effect=found.distance,
        effect_unit="distance",
        at_most=found.at_most,
        minimum=MIN_DISTANCE,
        p=found.p,
        corrected_p=found.p,
        verdict="UNDECIDED",
        gap=LargestGap(found.at, *(100 * share for share in found.below)),
    )


def _error_rate(one: DriftRun, other: DriftRun) -> DriftRow:
    errors, videos = (one.errors, other.errors), (len(one.videos), len(other.videos))
    rates = [100 * failed / count for failed, count in zip(errors, videos)]
    p = fisher_p(errors, videos)
    # Each end of a 90 % interval is a one-sided 95 % bound.
    low, high = proportion_difference(errors, videos, 2 * LEVEL - 1)
    interval = Interval(*(100 * end for end in proportion_difference(errors, videos)))
    return DriftRow(
        name="error_rate",
        unit="%",
        videos=videos,
        reference=rates[0],
        today=rates[1],
        change=rates[1] - rates[0],
        interval=interval,
        effect=abs(rates[1] - rates[0]),
        effect_unit="points",
        at_most=100 * max(-low, high),
        minimum=MIN_ERRORS,
        p=p,
        corrected_p=p,
        verdict="UNDECIDED",
    )
