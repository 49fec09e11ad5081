"""The runs of a report, each read once: its operating point, how sure that is, and how it was made.

Whatever comes out of a file is plain text here; the template escapes it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...bench.records.answers import NoAnswer, RunAnswers, read_answers
from ..runs.labels import policy_text
from ..runs.operating_point import OperatingPoint, operating_point, run_folders
from ..runs.run_json import get, number_or_none, read_record
from .facts import Facts, facts_of

_CHOICES = ("--first-threshold", "--gate-threshold", "--frames", "--cascade", "--budget-ms", "--policy", "--trace")


@dataclass(frozen=True)
class ReportedRun:
    """A run as a report has it.

    Attributes:
        name: its folder, with as much of the path as tells it from the others.
        engine: with its precision.
        by_default: FrameExit's rule, and its command said nothing about thresholds, so that they are the data set's and
            the bundle's; False where the command does not tell.
        traced: it ran every step of every video to record what each came to.
        top5: in percent; None where there is none.
        errors: how many videos gave no answer.
        left_out: videos of the split that were not there.
        made_with: machine, versions and settings, in words.
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
    left_out: tuple[NoAnswer, ...]
    made_with: Facts
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


def in_names(text: str, runs: Sequence[ReportedRun]) -> str:
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
    record, point = read_record(run), operating_point(run)
    metrics: Mapping[str, object] = get(run, record, "metrics", dict)
    config: Mapping[str, object] = get(run, record, "config", dict)
    return ReportedRun(
        path=run,
        name=name,
        bundle=get(run, get(run, record, "bundle", dict), "name", str),
        engine=" ".join(filter(None, (get(run, record, "engine", str), point.setting.precision))),
        policy=policy_text(record.get("policy")) or "not recorded",
        by_default=_by_default(record.get("policy"), str(record.get("command"))),
        traced=config.get("trace") is True,
        point=point,
        top5=number_or_none(run, metrics, "top5"),
        errors=get(run, metrics, "errors", int),
        answers=read_answers(run, "map" if point.metric == "map" else "top1"),
        left_out=_left_out(record),
        made_with=facts_of(record),
        command=str(record.get("command") or "not recorded"),
    )


def _by_default(policy: object, command: str) -> bool:
    """Say whether a command left the thresholds alone; the record holds those that were taken, whoever gave them."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    given = {word.partition("=")[0] for word in words}
    gates = isinstance(policy, Mapping) and policy.get("kind") == "frameexit"
    return gates and words[:2] == ["vbench", "run"] and given.isdisjoint((*_CHOICES, "--resume"))


def _left_out(record: Mapping[str, object]) -> tuple[NoAnswer, ...]:
    given = record.get("left_out")
    entries = given if isinstance(given, list) else []
    return tuple(
        NoAnswer(str(entry.get("video", "")), str(entry.get("reason", "")))
        for entry in entries
        if isinstance(entry, Mapping)
    )
