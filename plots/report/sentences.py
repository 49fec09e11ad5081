"""Sentences of a report: the question, and the answers the runs give.

Every statement is backed by the records. An answer compares a run with the run over all frames in the same series, on
the same machine and with the same schedule; if there is none, the sentence says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...errors import RunError, UsageError
from ..figures.speedup import Speedup, speedups
from ..runs.operating_point import METRICS
from ..runs.text_format import count_text, join_words, number_text, range_text
from .runs import ReportedRun

_LEVEL = number_text(95, "%", 0)
_MOST_VALUES = 6
_MOST_ANSWERS = 3


def question(runs: Sequence[ReportedRun]) -> str:
    """Describe the runs and what is compared, in plain words."""
    bundles, datasets = _unique(run.bundle for run in runs), _unique(run.point.dataset for run in runs)
    asked = (
        f"How accurate {'is' if len(bundles) == 1 else 'are'} {_join_some(bundles)} on {_join_some(datasets)}, and "
        "what does a video cost in frames, compute and time?"
    )
    aspects = {"network": bundles, "data set": datasets, **_aspects(runs)}
    if len(runs) == 1:
        how = ", ".join(f"{name} {values[0]}" for name, values in _aspects(runs).items())
        return f"{asked} This is one run over {_videos(runs)}: {how}."
    differing = [f"{name} ({_join_some(values)})" for name, values in aspects.items() if len(values) > 1]
    common = [f"{name} {values[0]}" for name, values in _aspects(runs).items() if len(values) == 1]
    alike = f" Shared by all: {', '.join(common)}." if common else ""
    said = f"They differ in {join_words(differing)}." if differing else "They are repetitions of one another."
    return f"{asked} The report compares {count_text(len(runs), 'run')} over {_videos(runs)}. {said}{alike}"


def _aspects(runs: Sequence[ReportedRun]) -> dict[str, list[str]]:
    """Return the settings of the runs, each distinct value once."""
    settings = [run.point.setting for run in runs]
    return {
        "engine": _unique(run.engine for run in runs),
        "schedule": _unique(setting.schedule or "not recorded" for setting in settings),
        "machine": _unique(setting.machine or "not recorded" for setting in settings),
        "policy": _unique(run.policy for run in runs),
    }


def answers(runs: Sequence[ReportedRun]) -> list[str]:
    """Return one sentence per series and setting: the answer, or what is missing for one."""
    found: dict[tuple[str, str, str], list[ReportedRun]] = {}
    for run in runs:
        setting = run.point.setting
        found.setdefault((run.point.series, setting.machine, setting.schedule), []).append(run)
    groups = list(found.values())
    said = [_answer(group, _name(group[0], runs)) for group in groups[:_MOST_ANSWERS]]
    more = len(groups) - len(said)
    return [*said, *([f"The table below contains {more} more such groups of runs."] if more else [])]


def _answer(group: Sequence[ReportedRun], name: str) -> str:
    best = max(group, key=_rank)
    alone = f"The most accurate run of {name} is {best.name} ({best.policy}) with {_accuracy(best)}."
    try:
        found = _speedups(group)
    except (UsageError, RunError) as error:
        return f"{alone} The saving from early exits is unknown: {error}."
    cheaper = _cheaper(group, found)
    if not cheaper:
        return f"{alone} No run uses less compute than the run over all frames."
    default = next((run for run in cheaper if run.by_default), None)
    return _sentence(default or max(cheaper, key=_rank), group, found, name, len(cheaper))


def _name(run: ReportedRun, runs: Sequence[ReportedRun]) -> str:
    """Name the group of a run, including the machine or schedule if the runs differ in it."""
    settings, own = [other.point.setting for other in runs], run.point.setting
    machine = f", {own.machine or 'machine not recorded'}" if len({each.machine for each in settings}) > 1 else ""
    schedule = f", {own.schedule or 'schedule not recorded'}" if len({each.schedule for each in settings}) > 1 else ""
    return f"{run.bundle} on {run.point.dataset} with {run.engine}{machine}{schedule}"


def _speedups(group: Sequence[ReportedRun]) -> list[Speedup]:
    """Compare with the run over all frames; use a traced run, which also computes all gates, only as a last resort."""
    plain = [run.point for run in group if not run.traced]
    try:
        return speedups(plain)
    except UsageError:
        if len(plain) == len(group):
            raise
        return speedups([run.point for run in group])


def _cheaper(group: Sequence[ReportedRun], found: Sequence[Speedup]) -> list[ReportedRun]:
    saving = {id(entry.point) for entry in found if entry.theoretical > 1}
    return [run for run in group if id(run.point) in saving and not run.traced]


def _rank(run: ReportedRun) -> tuple[float, float]:
    return run.point.accuracy, -run.point.gmacs


def _sentence(
    chosen: ReportedRun, group: Sequence[ReportedRun], found: Sequence[Speedup], name: str, cheaper: int
) -> str:
    saved = next(entry for entry in found if entry.point is chosen.point)
    whole = next(run for run in group if run.point is saved.baseline)
    how = "At the default thresholds" if chosen.by_default else f"With {chosen.policy}"
    if not chosen.by_default and cheaper > 1:
        how += f" ({chosen.name}, the most accurate of {cheaper} runs cheaper than the run over all frames)"
    traced = ", which recorded a trace" if whole.traced else ""
    return (
        f"{how}, {name} gives {_accuracy(chosen)} at {number_text(100 / saved.theoretical, '%', 0)} of the MACs and "
        f"{number_text(saved.realized)} times the videos/s of the run over all frames ({whole.name}{traced}), "
        f"which gives {_accuracy(whole)}."
    )


def _accuracy(run: ReportedRun) -> str:
    interval = run.answers.interval
    sure = f" ({_LEVEL} interval {range_text(interval)})" if interval else ""
    return f"{number_text(run.point.accuracy, '%', 1)} {METRICS[run.point.metric]}{sure}"


def _videos(runs: Sequence[ReportedRun]) -> str:
    counts = sorted({run.point.timing.videos or 0 for run in runs})
    return count_text(counts[0], "video") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} videos"


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _join_some(values: Sequence[str]) -> str:
    more = len(values) - _MOST_VALUES
    return join_words([*values[:_MOST_VALUES], f"{more} more"] if more > 0 else values)
