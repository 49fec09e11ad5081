"""Runs of a report, each read once: operating point, confidence interval, and settings.

All text from files is plain text here; the template escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...bench.records.answers import FailedVideo, RunAnswers, read_answers
from ...bench.records.conditions import conditions_text, read_conditions
from ...bench.records.run_file import RunRecord, read_run
from ..runs.operating_point import OperatingPoint, point_of, run_folders
from .facts import RunFacts, run_facts


@dataclass(frozen=True)
class ReportedRun:
    """A run in a report.

    Attributes:
        name: folder name, with as many parent folders as needed to make it unique.
        engine: engine and precision.
        by_default: whether the run used the default thresholds for the data set and bundle; False for a policy without
            thresholds, or if the record does not say.
        traced: whether it ran every step of every video to record a trace.
        top5: percent, or None.
        errors: number of videos without an answer.
        left_out: videos in the split that were missing.
        facts: machine, versions and settings, as text.
        conditions: verdict on the measurement conditions, with its reasons; "" if unknown.
    """

    path: Path
    name: str
    bundle: str
    engine: str
    policy: str
    by_default: bool
    traced: bool
    point: OperatingPoint
    top5: float | None
    errors: int
    answers: RunAnswers
    left_out: tuple[FailedVideo, ...]
    facts: RunFacts
    conditions: str
    command: str

    @property
    def answered(self) -> int:
        """Number of videos with an answer."""
        return (self.point.timing.videos or 0) - self.errors


def read_runs(paths: Sequence[Path]) -> list[ReportedRun]:
    """Read the runs denoted by ``paths`` (see ``run_folders``).

    Raises:
        RunError: a run is missing, unfinished or damaged, or has no accuracy.
    """
    folders = run_folders(paths)
    return [_read(folder, name) for folder, name in zip(folders, _names(folders))]


def names_for_paths(text: str, runs: Sequence[ReportedRun]) -> str:
    """Replace the paths of runs in a message by their names, so that the page does not disclose local paths."""
    for run in sorted(runs, key=lambda run: len(str(run.path)), reverse=True):
        text = text.replace(str(run.path), run.name)
    return text


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the last component of every path, or as many as are needed to make the names unique."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while depth < max(map(len, parts), default=0) and len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _read(run: Path, name: str) -> ReportedRun:
    record = read_run(run, finished=True)
    point, metrics = point_of(record), record.object("metrics")
    config, found = record.object("config"), read_conditions(record)
    conditions = "" if found is None else conditions_text(found, metrics.get("videos", int))
    return ReportedRun(
        path=run,
        name=name,
        bundle=record.object("bundle").get("name", str),
        engine=" ".join(filter(None, (record.get("engine", str), point.setting.precision))),
        policy=str(record.content.get("policy_label") or "not recorded"),
        by_default=_by_default(record),
        traced=config.content.get("trace") is True,
        point=point,
        top5=metrics.number_or_none("top5"),
        errors=metrics.get("errors", int),
        answers=read_answers(run, "map" if point.metric == "map" else "top1"),
        left_out=_left_out(record),
        facts=run_facts(record.content, conditions),
        conditions=conditions,
        command=str(record.content.get("command") or "not recorded"),
    )


def _by_default(record: RunRecord) -> bool:
    """Return whether a run used default thresholds: no policy option was set, and the record names their sources."""
    config = record.object("config")
    choices = config.object_or_empty("policy").content
    chosen = config.content.get("trace") is True or any(value is not None for value in choices.values())
    return bool(choices) and not chosen and bool(record.object_or_empty("policy_sources").content)


def _left_out(record: RunRecord) -> tuple[FailedVideo, ...]:
    given = record.content.get("left_out")
    entries = given if isinstance(given, list) else []
    return tuple(
        FailedVideo(str(entry.get("video", "")), str(entry.get("reason", "")))
        for entry in entries
        if isinstance(entry, Mapping)
    )
