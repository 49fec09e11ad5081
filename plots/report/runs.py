"""The runs of a report, each read once: its operating point, how sure that is, and how it was made.

Whatever comes out of a file is plain text here; the template escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...bench.records.answers import FailedVideo, RunAnswers, read_answers
from ...bench.records.run_file import RunRecord, read_run
from ..runs.operating_point import OperatingPoint, point_of, run_folders
from .facts import RunFacts, run_facts


@dataclass(frozen=True)
class ReportedRun:
    """A run as a report has it.

    Attributes:
        name: its folder, with as much of the path as tells it from the others.
        engine: with its precision.
        by_default: nothing was chosen about the policy, so that its thresholds are the data set's and the bundle's;
            False for a policy without thresholds, and where the record does not tell.
        traced: it ran every step of every video to record what each came to.
        top5: in percent; None where there is none.
        errors: how many videos gave no answer.
        left_out: videos of the split that were not there.
        facts: machine, versions and settings, in words.
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
    command: str

    @property
    def answered(self) -> int:
        """How many videos gave an answer."""
        return (self.point.timing.videos or 0) - self.errors


def read_runs(paths: Sequence[Path]) -> list[ReportedRun]:
    """Read the runs that ``paths`` stand for, see ``run_folders``.

    Raises:
        RunError: a run is missing, not finished or damaged, or has no accuracy.
    """
    folders = run_folders(paths)
    return [_read(folder, name) for folder, name in zip(folders, _names(folders))]


def names_for_paths(text: str, runs: Sequence[ReportedRun]) -> str:
    """Return a message with the names of runs in place of their paths, which are nobody else's business."""
    for run in sorted(runs, key=lambda run: len(str(run.path)), reverse=True):
        text = text.replace(str(run.path), run.name)
    return text


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the last part of every path, with more of them where that is not enough to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while depth < max(map(len, parts), default=0) and len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _read(run: Path, name: str) -> ReportedRun:
    record = read_run(run, finished=True)
    point, metrics = point_of(record), record.object("metrics")
    config = record.object("config")
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
        facts=run_facts(record.content),
        command=str(record.content.get("command") or "not recorded"),
    )


def _by_default(record: RunRecord) -> bool:
    """Say whether a run left the thresholds alone: it chose nothing, and the record names where each comes from."""
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
