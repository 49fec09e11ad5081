"""Compliance checks for dynamic networks: what must not change the answers, and what must not make them faster.

They correspond to MLPerf Inference's compliance tests: answers in performance mode equal those in accuracy mode
(TEST01), and results are not cached (TEST04).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from ...runtime.engines.options import PLAN_ENGINES
from ...runtime.scheduler.schedules import InFlight, Sequential
from ..records.video_row import VideoRow
from .results import Check, ContenderResult
from .turn import Turn, TurnRequest, in_clip_order

_SMALL = 8  # clips in the checks that are part of every benchmark
_OTHER_SLOTS = 3
_REPEATS = 5
_CACHED = 0.5  # a repeated clip that takes less than this share of its usual time comes from a cache

Run = Callable[[TurnRequest], Turn]
Answer = tuple[int | None, int | None, str | None]
"""Class, exit step and error of a clip."""


def verify_contender(run: Run, result: ContenderResult, clips: int, *, thorough: bool) -> list[Check]:
    """Check one contender, whose warm-up turn contains its answers.

    Args:
        run: runs a turn of the contender.
        clips: number of clips; 8 of them suffice unless ``thorough``.
    """
    own = result.first_rows()
    chosen = range(clips if thorough else min(_SMALL, clips))
    found = [_unchanged("order of clips", own, run(TurnRequest(tuple(reversed(chosen)))))]
    for name, request in _other_schedules(result, tuple(chosen)):
        found.append(_unchanged(name, own, run(request)))
    if clips > 1 and result.contender.stream.schedule == Sequential.name and not result.contender.every_step:
        request = TurnRequest(_interleaved(clips))
        check = _not_cached(run(request))
        found.append(check if check.passed else _not_cached(run(request)))  # other load may have delayed one group
    return found


def all_checks(result: ContenderResult) -> list[Check]:
    """Return the checks of a contender: those that ran, and that of its measured turns, if there are any."""
    return [*result.checks, *([same_in_every_turn(result)] if result.measured else [])]


def same_in_every_turn(result: ContenderResult) -> Check:
    """Check that the measured turns (performance mode) give the same answers as the warm-up turn (accuracy mode)."""
    own = result.first_rows()
    rows = [row for turn in result.measured.values() for row in turn.rows]
    changed = changed_answers(own, rows)
    frames = [
        statistics.fmean(row.frames_used or 0 for row in group) if group else 0.0 for group in (own.values(), rows)
    ]
    detail = f"mean frames {frames[0]:.2f} and {frames[1]:.2f}"
    return Check("accuracy and performance mode", not changed, f"{_changed_text(changed, len(rows))}, {detail}")


def changed_answers(own: Mapping[str, VideoRow], rows: Iterable[VideoRow]) -> list[str]:
    """Return the keys of the videos whose class, exit step or error differs from that in ``own``."""
    return [row.video for row in rows if answer(row) != answer(own[row.video])]


def answer(row: VideoRow) -> Answer:
    """Return what must not change about a row."""
    return row.prediction, row.exit_step, row.error


def _other_schedules(result: ContenderResult, clips: tuple[int, ...]) -> Iterable[tuple[str, TurnRequest]]:
    """Yield a check name and a turn for a different schedule and a different number of slots; plans limit both."""
    stream = result.contender.stream
    if result.contender.procedure != "network":
        return
    if stream.schedule != Sequential.name:
        yield "schedule: one at a time", TurnRequest(clips, schedule=Sequential.name, slots=1)
        if stream.slots > 2:
            yield f"number of slots: {_OTHER_SLOTS}", TurnRequest(clips, slots=min(_OTHER_SLOTS, stream.slots - 1))
    elif result.contender.engine.engine not in PLAN_ENGINES:  # a plan for one slot cannot run another schedule
        yield "schedule: in flight", TurnRequest(clips, schedule=InFlight.name, slots=_OTHER_SLOTS)


def _unchanged(name: str, own: Mapping[str, VideoRow], turn: Turn) -> Check:
    changed = changed_answers(own, turn.rows)
    return Check(name, not changed, _changed_text(changed, len(turn.rows)))


def _changed_text(changed: Sequence[str], answers: int) -> str:
    return f"{len(changed)} of {answers} answers changed" + (f" ({changed[0]})" if changed else "")


def _interleaved(clips: int) -> tuple[int, ...]:
    """Return an order in which clip 0 appears between other clips, and then repeatedly."""
    others = [1 + number % (clips - 1) for number in range(_REPEATS)]
    return (*(index for other in others for index in (0, other)), *[0] * (_REPEATS + 1))


def _not_cached(turn: Turn) -> Check:
    """Check that a clip takes as long right after itself as after another clip in the same turn."""
    times = [row.latency_ms or 0.0 for row in in_clip_order(turn)]
    between, again = times[2 : 2 * _REPEATS : 2], times[2 * _REPEATS + 1 :]
    ratio = min(again) / max(min(between), 1e-9)  # of the fastest, because other load only adds time
    return Check("no cached answers", ratio >= _CACHED, f"a repeated clip takes {ratio:.2f} of its usual time")
