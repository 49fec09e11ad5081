"""Compare predictions: exact contenders must match in class and exit step; for others, count the changes.

The reference is the first working CPU engine. If the bundle was exported here from the goldens' checkpoint, the
reference itself is compared with the output of the original code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vbench.runtime.scheduler.options import SPECULATIVE

from .answers import ClipAnswers, WorkerRequest, parse_answers
from .contenders import Contender
from .section import Section, Table
from .settings import Settings, WorkerConfig
from .turns import Failure, Turns

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "golden.npz"
_WAYS = (  # kind of clip, schedule, slots: covers preprocessing and batching too
    ("float", "sequential", 1),
    ("float", "inflight", 8),
    ("float", SPECULATIVE, 8),
    ("frames", "sequential", 1),
)
_HEAD = ("", "clips", "schedule", "exit steps", "classes", "result", "largest logits difference")


@dataclass(frozen=True)
class Compared:
    """Comparison of ``contender`` with ``reference``, with the clips whose exit step or class differs.

    ``logits_difference`` is the largest among clips that exited at the same step; None if there is no such clip.
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
        """Whether exit steps and classes are equal for every clip and no logit is NaN."""
        same = not self.steps_changed and not self.classes_changed
        return same and (self.logits_difference is None or math.isfinite(self.logits_difference))


def goldens(contenders: Sequence[Contender], config: WorkerConfig, settings: Settings, *, originals: bool) -> Section:
    """Compare the exact contenders; with ``originals``, also the reference with the original code."""
    return _compared("goldens", [one for one in contenders if one.exact], config, settings, originals=originals)


def audit(contenders: Sequence[Contender], config: WorkerConfig, settings: Settings) -> Section:
    """Count the clips that the other precisions change."""
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
            turns.failures.append(Failure(name, "reference", "no CPU engine works, so there is no reference"))
        else:
            for way in _WAYS:
                found += _one_way(turns, reference, way, settings.clips, originals=originals)
    note = f"{settings.clips} clips of the goldens, versus {reference.name if reference else 'no reference'}."
    return Section(name, (_table(name, note, found),), turns.end(), tuple(found), turns.descriptions)


def _one_way(
    turns: Turns, reference: Contender, way: tuple[str, str, int], videos: int, *, originals: bool
) -> list[Compared]:
    """Request predictions for the same clips from all contenders and compare them."""
    kind, schedule, slots = way
    request = WorkerRequest("answers", clips=kind, schedule=schedule, slots=slots, videos=videos)
    about = f"{kind} clips, {schedule}"
    given = turns.ask(reference, WorkerRequest("answers", clips=kind, videos=videos), about)
    if given is None:
        return []
    base, found = parse_answers(given), []
    if originals and schedule == "sequential":
        found.append(compare(base, _originals(kind, videos), reference, "the original code", (kind, schedule)))
    for one in turns.alive:
        if one is reference and schedule == "sequential":
            continue
        answers = turns.ask(one, request, about)
        if answers is not None:
            found.append(compare(parse_answers(answers), base, one, reference.name, (kind, schedule)))
    return found


def compare(
    found: ClipAnswers, base: ClipAnswers, contender: Contender, reference: str, way: tuple[str, str]
) -> Compared:
    """Compare two sets of answers for the same clips."""
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
        float(np.max(differences)) if differences else None,  # np.max propagates NaN
        contender.exact,
    )


def _originals(kind: str, videos: int) -> ClipAnswers:
    with np.load(GOLDEN) as arrays:
        steps, logits = (arrays[f"{kind}_{name}"][:videos] for name in ("exit_step", "logits"))
    return ClipAnswers(tuple(logits.argmax(1).tolist()), tuple(steps.tolist()), tuple(map(tuple, logits.tolist())))


def _table(title: str, note: str, found: Sequence[Compared]) -> Table:
    return Table(title, note, _HEAD, tuple(map(_row, found)))


def _row(one: Compared) -> tuple[str, ...]:
    name = one.contender if one.reference != "the original code" else f"{one.contender} versus {one.reference}"
    steps, classes = (f"{len(clips)} of {one.videos} changed" for clips in (one.steps_changed, one.classes_changed))
    difference = "" if one.logits_difference is None else f"{one.logits_difference:.1e}"
    return name, one.clips, one.schedule, steps, classes, comparison_result(one), difference


def comparison_result(one: Compared) -> str:
    """Return the result of a comparison as text."""
    if one.identical:
        return "identical"
    return "**NOT identical**" if one.exact else f"{len({*one.steps_changed, *one.classes_changed})} clips changed"
