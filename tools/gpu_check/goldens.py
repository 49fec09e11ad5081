"""Are the answers the same? To the bit in class and exit step where a contender is exact; else, how many change.

The reference is the first engine that works on the CPU; where the bundle was made here from the goldens' checkpoint, it
is compared itself with what the original code clip_answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vbench.runtime.scheduler.options import SPECULATIVE

from .answers import ClipAnswers, WorkerRequest, clip_answers
from .contenders import Contender
from .section import Section, Table
from .settings import Settings, WorkerConfig
from .turns import Failure, Turns

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "golden.npz"
_WAYS = (  # kind of clip, schedule, slots: preprocessing and batches have to give the same answers too
    ("float", "sequential", 1),
    ("float", "inflight", 8),
    ("float", SPECULATIVE, 8),
    ("frames", "sequential", 1),
)
_HEAD = ("", "clips", "schedule", "exit steps", "classes", "verdict", "largest logits difference")


@dataclass(frozen=True)
class Compared:
    """Whom the answers of ``contender`` were compared with, and the clips whose exit step or class is another one.

    ``logits_difference`` is the largest one of a clip that ended at the same step; None if there is none.
    """

    contender: str
    reference: str
    clips: str
    schedule: str
    videos: int
    steps_changed: tuple[int, ...]
    classes_changed: tuple[int, ...]
    logits_difference: float | None
    exact: bool

    @property
    def identical(self) -> bool:
        """Whether exit steps and classes are the same in every clip, and no logit is NaN."""
        same = not self.steps_changed and not self.classes_changed
        return same and (self.logits_difference is None or math.isfinite(self.logits_difference))


def goldens(contenders: Sequence[Contender], config: WorkerConfig, settings: Settings, *, originals: bool) -> Section:
    """Compare those that have to be exact; ``originals``: the reference also with the original code's answers."""
    return _compared("goldens", [one for one in contenders if one.exact], config, settings, originals=originals)


def audit(contenders: Sequence[Contender], config: WorkerConfig, settings: Settings) -> Section:
    """Say how many clips the other precisions change."""
    others = [one for one in contenders if not one.exact]
    if not others:
        return Section("audit")
    reference = next((one for one in contenders if _may_refer(one)), None)
    return _compared("audit", [*([reference] if reference else []), *others], config, settings, originals=False)


def _may_refer(contender: Contender) -> bool:
    return contender.exact and not contender.gpu


def _compared(
    name: str, contenders: Sequence[Contender], config: WorkerConfig, settings: Settings, *, originals: bool
) -> Section:
    found: list[Compared] = []
    with Turns(name, contenders, config, settings.limits) as turns:
        reference = next((one for one in turns.alive if _may_refer(one)), None)
        if reference is None:
            turns.failures.append(Failure(name, "reference", "no engine works on the CPU: nothing to compare with"))
        else:
            for way in _WAYS:
                found += _one_way(turns, reference, way, settings.clips, originals=originals)
    note = f"{settings.clips} clips of the goldens, against {reference.name if reference else 'nothing'}."
    return Section(name, (_table(name, note, found),), turns.end(), tuple(found), turns.descriptions)


def _one_way(
    turns: Turns, reference: Contender, way: tuple[str, str, int], videos: int, *, originals: bool
) -> list[Compared]:
    """Ask everyone for the answers to the same clips."""
    kind, schedule, slots = way
    request = WorkerRequest("answers", clips=kind, schedule=schedule, slots=slots, videos=videos)
    about = f"{kind} clips, {schedule}"
    given = turns.ask(reference, WorkerRequest("answers", clips=kind, videos=videos), about)
    if given is None:
        return []
    base, found = clip_answers(given), []
    if originals and schedule == "sequential":
        found.append(compare(base, _originals(kind, videos), reference, "the original code", (kind, schedule)))
    for one in turns.alive:
        if one is reference and schedule == "sequential":
            continue
        answers = turns.ask(one, request, about)
        if answers is not None:
            found.append(compare(clip_answers(answers), base, one, reference.name, (kind, schedule)))
    return found


def compare(
    found: ClipAnswers, base: ClipAnswers, contender: Contender, reference: str, way: tuple[str, str]
) -> Compared:
    """Compare the answers to the same clips."""
    steps = [clip for clip, pair in enumerate(zip(found.exit_steps, base.exit_steps)) if pair[0] != pair[1]]
    labels = [clip for clip, pair in enumerate(zip(found.labels, base.labels)) if pair[0] != pair[1]]
    same = [clip for clip in range(len(base.labels)) if clip not in steps]
    differences = [float(np.abs(np.subtract(found.logits[clip], base.logits[clip])).max()) for clip in same]
    return Compared(
        contender.name,
        reference,
        *way,
        len(base.labels),
        tuple(steps),
        tuple(labels),
        float(np.max(differences)) if differences else None,  # of numpy, as NaN must not get lost
        contender.exact,
    )


def _originals(kind: str, videos: int) -> ClipAnswers:
    with np.load(GOLDEN) as arrays:
        steps, logits = (arrays[f"{kind}_{name}"][:videos] for name in ("exit_step", "logits"))
    return ClipAnswers(tuple(logits.argmax(1).tolist()), tuple(steps.tolist()), tuple(map(tuple, logits.tolist())))


def _table(title: str, note: str, found: Sequence[Compared]) -> Table:
    return Table(title, note, _HEAD, tuple(map(_row, found)))


def _row(one: Compared) -> tuple[str, ...]:
    name = one.contender if one.reference != "the original code" else f"{one.contender} against {one.reference}"
    steps, classes = (f"{len(clips)} of {one.videos} changed" for clips in (one.steps_changed, one.classes_changed))
    difference = "" if one.logits_difference is None else f"{one.logits_difference:.1e}"
    return name, one.clips, one.schedule, steps, classes, verdict(one), difference


def verdict(one: Compared) -> str:
    """Return whether the answers are as they have to be, in words."""
    if one.identical:
        return "identical"
    return "**NOT identical**" if one.exact else f"{len({*one.steps_changed, *one.classes_changed})} clips changed"
