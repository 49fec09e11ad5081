"""Run many clips through the slots of a schedule: the loop that ties schedule, slots, judge and frames together.

All answers come out, in the order in which they are found; a clip that breaks comes out with its error and never
disturbs the others. Whatever the schedule, the slots and the order of the clips, each clip sees the same frames and the
same arithmetic, so answers and exit steps are the same.

A tick is one backbone call. With ``sync="step"`` the verdicts on its frames are waited for before the next tick; with
``late`` they are waited for behind the next tick's backbone call, which then works on the next frame of clips that
turn out to have ended: that hides the way to the host and back, and what it computes in vain is counted. A frame is
started before its answer only where its pixels are there: nobody waits for pixels while an answer is under way. A clip
at its last step needs no answer to leave its slot.

Time is accounted for without a gap: between two ticks everything that is neither the engine's nor waiting for pixels
counts as scheduling, what the caller does with the answers included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from ..errors import VbenchError
from .engine import Engine
from .judge import Case, Hearing, Judge, Verdict
from .line import Line, OpenClip
from .manifest import FrameExitManifest
from .options import LATE, StreamOptions
from .outcome import Answer, Cost, Outcome
from .policy import Policy
from .reader import Named
from .running import Ledger, Running
from .schedule import Schedule, Seat, make_schedule
from .slots import Slots


def stream(
    engine: Engine,
    manifest: FrameExitManifest,
    policy: Policy,
    clips: Iterable[OpenClip | Named[OpenClip]],
    options: StreamOptions,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every clip as soon as it is known. Closing the iterator ends all reading.

    Raises:
        UsageError: an option is out of range.
    """
    options.check()
    with closing(_Stream(engine, manifest, policy, clips, options, clock)) as running:
        yield from running.outcomes()


@dataclass(frozen=True)
class _Asked:
    """Clips by slot, as they sat when their hearing began."""

    clips: Mapping[int, int]
    hearing: Hearing


class _Stream:
    def __init__(
        self,
        engine: Engine,
        manifest: FrameExitManifest,
        policy: Policy,
        clips: Iterable[OpenClip | Named[OpenClip]],
        options: StreamOptions,
        clock: Callable[[], float],
    ) -> None:
        self._engine, self._manifest, self._clock = engine, manifest, clock
        self._late = options.sync == LATE
        self._schedule: Schedule = make_schedule(options.schedule, options.slots)
        self._slots = Slots(engine, manifest, options.slots)
        self._judge = Judge(self._slots, manifest, policy, sure=self._late)
        self._line = Line(clips, manifest.frames, options)
        self._running: dict[int, Running] = {}
        self._asked: _Asked | None = None
        self._done: list[Outcome] = []
        self._ledger = Ledger(clock)
        self._backbone_macs, self._accumulator_macs = (
            manifest.parts[part].macs for part in ("backbone", "accumulator")
        )

    def outcomes(self) -> Iterator[Outcome]:
        while self._seat() or self._asked:
            if self._asked and not self._ready():
                self._settle_alone()
            elif self._load_all():
                self._tick()
            found, self._done = self._done, []
            yield from found

    def close(self) -> None:
        for running in self._running.values():
            running.feed.close()
        self._line.close()

    def _seat(self) -> bool:
        """Give the empty slots to waiting clips; say whether there is any row to compute."""
        for _ in range(self._schedule.vacancies):
            following = self._line.next()
            if following is None:
                break
            clip, feed = following
            self._slots.begin(self._schedule.seat(clip))
            self._running[clip] = Running(feed, self._clock(), Case(feed.name))
            feed.read_up_to(1)
        for move in self._schedule.close_ranks():
            clip = self._schedule.rows[move.target].clip
            self._slots.move(move, pixels=self._running[clip].filled)
        return bool(self._schedule.rows)

    def _slots_by_clip(self) -> dict[int, int]:
        """Return where each clip sits that wants to go on; only right after `_seat`."""
        return {seat.clip: slot for slot, seat in enumerate(self._schedule.rows) if not seat.ended}

    def _ready(self) -> bool:
        """Say whether there is a row to compute, and the pixels of all of them are there."""
        rows = [self._running[clip] for clip in self._slots_by_clip()]
        return bool(rows) and all(running.filled or running.feed.ready for running in rows)

    def _load_all(self) -> bool:
        """Get the pixels of every row; False if a clip broke over it and left its slot."""
        rows = self._schedule.rows
        broken = [slot for slot, seat in enumerate(rows) if not seat.ended and not self._load(slot, seat)]
        for slot in broken:
            self._schedule.end(slot)
        return not broken

    def _load(self, slot: int, seat: Seat) -> bool:
        running = self._running[seat.clip]
        if running.filled:
            return True
        begin = self._clock()
        try:
            running.feed.pixels(seat.step, self._engine, self._slots.pixels(slot))
        except VbenchError as error:
            self._finish(seat.clip, None, error)
            return False
        finally:
            self._ledger.waited(self._clock() - begin)
        running.filled = True
        return True

    def _tick(self) -> None:
        rows, slots = self._schedule.rows, self._slots_by_clip()
        begin = self._clock()
        self._slots.backbone(len(rows))
        middle = self._clock()
        before = self._settle()  # empty unless late
        gone = [clip for clip in slots if clip in before and before[clip].ends]
        seats = {slot: rows[slot] for clip, slot in slots.items() if clip not in gone}
        if seats:
            self._ask(seats, len(rows))
        found = before if self._late else self._settle()
        clips = [self._running[clip] for clip in {**slots, **found}]
        self._ledger.share(clips, middle - begin, self._clock() - middle)
        vain_macs = self._backbone_macs + (self._accumulator_macs if seats else 0)
        for clip in gone:
            self._running[clip].cost.macs_in_vain += vain_macs
        for running in clips:
            running.cost.macs_in_vain += (len(rows) - len(slots)) * vain_macs / len(clips)
        self._note(found, slots)
        self._free_the_last()
        self._schedule.advance()

    def _settle_alone(self) -> None:
        """Wait for the verdicts under way, with nothing to compute meanwhile."""
        begin = self._clock()
        found = self._settle()
        self._ledger.share([self._running[clip] for clip in found], 0.0, self._clock() - begin)
        self._note(found, self._slots_by_clip())

    def _ask(self, seats: Mapping[int, Seat], rows: int) -> None:
        """Take the features of a tick into the states, and start what decides about these seats, by slot."""
        self._slots.accumulate(rows)
        for seat in seats.values():
            self._running[seat.clip].filled = False
            self._running[seat.clip].cost.macs += self._backbone_macs + self._accumulator_macs
        cases = {slot: self._running[seat.clip].case for slot, seat in seats.items()}
        hearing = self._judge.hear(cases, {slot: seat.step for slot, seat in seats.items()})
        self._asked = _Asked({slot: seat.clip for slot, seat in seats.items()}, hearing)

    def _settle(self) -> dict[int, Verdict]:
        """Wait for the verdicts under way and return them by clip."""
        asked, self._asked = self._asked, None
        if asked is None:
            return {}
        return {asked.clips[slot]: verdict for slot, verdict in self._judge.settle(asked.hearing).items()}

    def _note(self, found: Mapping[int, Verdict], slots: Mapping[int, int]) -> None:
        """Tell clips their verdicts; whose answer is there leaves its slot, if it still has one."""
        for clip, verdict in found.items():
            answer = self._running[clip].note(verdict, self._clock())
            if answer is not None:
                self._finish(clip, answer, None)
                if clip in slots:
                    self._schedule.end(slots[clip])

    def _free_the_last(self) -> None:
        """Let clips go whose last step is under way: whatever its verdict says, they need no slot any more."""
        for slot, step in self._asked.hearing.steps.items() if self._asked else ():
            if step == self._manifest.frames:
                self._schedule.end(slot)

    def _finish(self, clip: int, answer: Answer | None, error: VbenchError | None) -> None:
        self._done.append(Outcome(clip, answer, error, self._ledger.close(self._running.pop(clip))))


def run_clip(
    engine: Engine, manifest: FrameExitManifest, policy: Policy, clip: OpenClip | Named[OpenClip]
) -> tuple[Answer, Cost]:
    """Run one clip on the calling thread and return its answer and its cost.

    Raises:
        VbenchError: the clip gives no frames that the network could take.
    """
    (outcome,) = stream(engine, manifest, policy, [clip], StreamOptions())
    if outcome.error is not None:
        raise outcome.error
    assert outcome.answer is not None
    return outcome.answer, outcome.cost
