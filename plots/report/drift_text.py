"""Text and table cells of the drift between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...bench.compare.drift import Drift, DriftRow, DriftVerdict

DRIFT_HEAD = ("", "reference", "today", "change", "95 % interval", "effect", "at most", "p", "verdict")
_TITLES = {
    "exit_step": "exit step",
    "decisions": "confidence at decisions",
    "gates": "gate values",
    "confidence": "confidence of predictions",
    "error_rate": "error rate",
}


def drift_cells(row: DriftRow) -> tuple[str, ...]:
    """Return the cells of a row, matching the columns of ``DRIFT_HEAD``."""
    digits = 2 if row.unit else 3
    means = (f"{value:.{digits}f} {row.unit}".rstrip() for value in (row.reference, row.today))
    change_unit = "points" if row.unit == "%" else row.unit
    interval = "-" if row.interval is None else " .. ".join(f"{end:+.{digits}f}" for end in row.interval)
    unit = "" if row.effect_unit == "distance" else row.effect_unit
    return (
        _TITLES[row.name],
        *means,
        f"{row.change:+.{digits}f} {change_unit}".rstrip(),
        interval,
        *(f"{value:.2f} {unit}".rstrip() for value in (row.effect, row.at_most)),
        f"{row.corrected_p:.2g}",
        row.verdict,
    )


def sample_texts(found: Drift) -> tuple[str, ...]:
    """Return the number of videos in each run, with its data set."""
    return tuple(f"{videos} videos of {dataset}" for videos, dataset in zip(found.videos, found.datasets))


def drift_titles(found: Drift, verdict: DriftVerdict) -> str:
    """Return the titles of the rows with a verdict, separated by commas."""
    return ", ".join(_TITLES[row.name] for row in found.rows if row.verdict == verdict)


def drift_remarks(found: Drift) -> Iterator[str]:
    """Yield the notes on a comparison, one sentence each; the last is the overall verdict."""
    for row in found.rows:
        if row.gap and row.verdict == "DRIFT":
            unit = row.unit.removesuffix("s") if row.gap.value == 1 else row.unit
            value = f"{row.gap.value:.3g} {unit}".rstrip()
            shares = f"{row.gap.reference:.1f} % of the reference and {row.gap.today:.1f} % of today"
            yield f"{_TITLES[row.name]}: largest difference at {value}; {shares} lie at or below it"
    for name, reason in found.absent.items():
        yield f"No {_TITLES[name]}: {reason}"
    if found.same_names:
        yield (
            f"Videos with the same name in both runs: {found.same_names}; if they are the same videos, vbench compare "
            "without --drift is more sensitive"
        )
    if found.set_ups:
        yield f"Values were computed under different settings (reference / today): {'; '.join(found.set_ups)}"
    yield from _rules(found)
    yield _overall(found)


def _rules(found: Drift) -> Iterator[str]:
    from ...bench.compare.drift import MIN_DISTANCE, MIN_ERRORS, SIGNIFICANCE

    yield (
        "Effects are Kolmogorov-Smirnov distances (0..1), or points for the error rate; p is corrected for "
        f"{len(found.rows)} tests (Holm)"
    )
    yield (
        f"DRIFT: p <= {SIGNIFICANCE:.2g} and a distance of {MIN_DISTANCE:g} ({MIN_ERRORS:g} points) or more; "
        'NO DRIFT: the 95 % upper bound ("at most") is smaller'
    )


def _overall(found: Drift) -> str:
    if found.verdict == "NO DRIFT":
        return "NO DRIFT"
    rows = drift_titles(found, found.verdict)
    return f"DRIFT: {rows}" if found.verdict == "DRIFT" else f"UNDECIDED: too few videos to decide on {rows}"
