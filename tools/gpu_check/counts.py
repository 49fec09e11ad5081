"""Frame-flexible network at each of its frame counts: agreement of classes, latency and throughput.

The CPU engine is the reference. If the bundle was exported here from the goldens' checkpoint, the reference itself is
compared with the output of the original code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.bench.measure import spread
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest

from .answers import ClipAnswers, Pass, WorkerRequest, parse_answers
from .bundle import step_frames
from .clips import draw_counts, kind_of
from .contenders import Contender
from .section import Section, Table
from .settings import Settings, WorkerConfig
from .turns import Failure, Turns

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "ffn2d" / "golden.npz"
_ORIGINAL = "the original code"
_NOTE = (
    "Normalized pixels in host memory. Changed classes and largest logit difference versus the first CPU engine; "
    "milliseconds per clip, p50 / p90; clips per second in flight, median [min .. max]. Contenders are interleaved "
    "within a repetition."
)


@dataclass(frozen=True)
class AtCount:
    """Results of a contender at a frame count; ``passes`` by slots, ``logits_difference`` None for the reference."""

    contender: str
    frames: int
    classes_changed: int
    logits_difference: float | None
    samples_ms: tuple[float, ...]
    passes: tuple[tuple[int, tuple[Pass, ...]], ...]


def counts(
    contenders: Sequence[Contender],
    bundle: Callable[[], Bundle[Manifest]],
    folder: Path,
    settings: Settings,
    *,
    originals: bool,
) -> Section:
    """Compare and time the contenders, which must all be exact; ``bundle`` opens or exports the bundle."""
    opened = bundle()
    folder.mkdir()
    draw_counts(folder, opened.manifest, settings.count_clips)
    config = WorkerConfig(opened.path, folder, max(settings.count_slots))
    found: list[AtCount] = []
    notes: list[str] = [_NOTE]
    with Turns("counts", contenders, config, settings.limits) as turns:
        for frames in step_frames(opened.manifest):
            answers = _answers(turns, frames, settings.count_clips)
            if answers is None:
                break
            if originals:
                notes.append(_against_the_original(answers[0], frames))
            found += _measure(turns, frames, answers, settings)
    table = _table(found, " ".join(notes), settings.count_slots)
    return Section("counts", (table,), turns.end(), tuple(found), turns.descriptions)


Answers = tuple[ClipAnswers, dict[str, ClipAnswers]]


def _answers(turns: Turns, frames: int, clips: int) -> Answers | None:
    """Return the answers of the reference and of all contenders; None without a reference."""
    request = WorkerRequest("answers", clips=kind_of(frames), frames=frames, videos=clips)
    reference = next((one for one in turns.alive if not one.gpu), None)
    given = None if reference is None else turns.ask(reference, request, f"{frames} frames")
    if reference is None or given is None:
        if not turns.out_of_time:  # the section reports its own timeout
            turns.failures.append(Failure("counts", "reference", "no CPU engine works, so there is no reference"))
        return None
    found = {reference.name: parse_answers(given)}
    for one in [one for one in turns.alive if one is not reference]:
        reply = turns.ask(one, request, f"{frames} frames")
        if reply is not None:
            found[one.name] = parse_answers(reply)
    return found[reference.name], found


def _measure(turns: Turns, frames: int, answers: Answers, settings: Settings) -> list[AtCount]:
    """Measure all answering contenders in interleaved turns, after one warm-up turn."""
    samples: dict[str, list[float]] = {}
    passes: dict[tuple[str, int], list[Pass]] = {}
    for repetition in range(settings.repetitions + 1):
        for one in turns.alive:
            _turn(turns, one, frames, settings, (samples, passes) if repetition else ({}, {}))
    base, found = answers
    return [
        AtCount(
            name,
            frames,
            classes_changed=sum(a != b for a, b in zip(its.labels, base.labels)),
            logits_difference=None if its is base else _distance(its, base),
            samples_ms=tuple(samples.get(name, ())),
            passes=tuple((slots, tuple(taken)) for (whose, slots), taken in passes.items() if whose == name),
        )
        for name, its in found.items()
    ]


def _turn(
    turns: Turns,
    contender: Contender,
    frames: int,
    settings: Settings,
    found: tuple[dict[str, list[float]], dict[tuple[str, int], list[Pass]]],
) -> None:
    samples, passes = found
    alone = WorkerRequest("latency", clips=kind_of(frames), frames=frames, exit_step=1, videos=settings.latency_clips)
    taken = turns.ask(contender, alone, f"{frames} frames, one clip at a time")
    samples.setdefault(contender.name, []).extend(taken or ())
    for slots in settings.count_slots:
        if not contender.gpu and slots > settings.cpu_slots:
            continue
        videos = max(settings.crowd, 2 * slots)
        several = WorkerRequest(
            "pass", clips=kind_of(frames), schedule="inflight", slots=slots, videos=videos, frames=frames
        )
        reply = turns.ask(contender, several, f"{frames} frames, slots {slots}")
        if reply is not None:
            passes.setdefault((contender.name, slots), []).append(Pass(**reply))


def _against_the_original(base: ClipAnswers, frames: int) -> str:
    with np.load(GOLDEN) as arrays:
        expected = arrays[f"tsm_ffn_r50/T{frames}/logits"]
    number = min(len(expected), len(base.logits))
    difference = float(np.abs(np.subtract(base.logits[:number], expected[:number])).max())
    return f"Reference versus {_ORIGINAL} at {frames} frames: {difference:.1e} over {number} clips."


def _distance(one: ClipAnswers, other: ClipAnswers) -> float:
    return float(np.abs(np.subtract(one.logits, other.logits)).max())  # np.max propagates NaN


def _table(found: Sequence[AtCount], note: str, slots: Sequence[int]) -> Table:
    head = ("", "frames", "classes changed", "largest logits difference", "ms a clip", "samples")
    return Table("frame counts", note, (*head, *(f"clips/s, slots {each}" for each in slots)),
                 tuple(_row(one, slots) for one in found))  # fmt: skip


def _row(one: AtCount, slots: Sequence[int]) -> tuple[str, ...]:
    passes = dict(one.passes)
    speeds = [[taken.videos / taken.seconds for taken in passes.get(each, ())] for each in slots]
    times = [f"{value:.2f}" for value in np.percentile(one.samples_ms, (50, 90))] if one.samples_ms else []
    difference = "reference" if one.logits_difference is None else f"{one.logits_difference:.1e}"
    return (one.contender, str(one.frames), str(one.classes_changed), difference, " / ".join(times),
            str(len(one.samples_ms)), *(spread(each, 2) if each else "" for each in speeds))  # fmt: skip
