"""Run many clips through the slots of a schedule: the loop that ties seating, slots and judge together.

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
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from ..bundle.manifest import FrameExitManifest
from ..engines.base import Engine
from ..inputs.frame_input import Named
from ..policies.base import Policy
from ..scheduler.active_clip import Running
from ..scheduler.options import LATE, StreamOptions
from ..scheduler.results import Answer, Cost, Outcome
from ..scheduler.scheduler import Clock, Seating
from ..scheduler.schedules import Move, Seat
from ..scheduler.waiting_queue import OpenClip
from .frameexit_buffers import Slots
from .frameexit_decider import Hearing, Judge, Verdict


def stream(
    engine: Engine,
    manifest: FrameExitManifest,
    policy: Policy,
    clips: Iterable[OpenClip | Named[OpenClip]],
    options: StreamOptions,
    clock: Clock = time.perf_counter,
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
        clock: Clock,
    ) -> None:
        self._engine, self._last, self._clock = engine, manifest.frames, clock
        self._late = options.sync == LATE
        self._slots = Slots(engine, manifest, options.slots)
        self._judge = Judge(self._slots, manifest, policy, sure=self._late)
        self._seating = Seating(clips, manifest.frames, options, clock)
        self._schedule, self._running = self._seating.schedule, self._seating.running
        self._asked: _Asked | None = None
        self._backbone_macs, self._accumulator_macs = (
            manifest.parts[part].macs for part in ("backbone", "accumulator")
        )
        self.close = self._seating.close

    def outcomes(self) -> Iterator[Outcome]:
        while self._seating.fill(self._slots.begin, self._move) or self._asked:
            if self._asked and not self._ready():
                self._settle_alone()
            elif self._seating.load_all(self._load):
                self._tick()
            yield from self._seating.take_done()

    def _move(self, move: Move, running: Running) -> None:
        self._slots.move(move, pixels=running.filled)

    def _load(self, slot: int, seat: Seat, running: Running) -> None:
        running.feed.pixels(seat.step, self._engine, self._slots.pixels(slot))

    def _ready(self) -> bool:
        """Say whether there is a row to compute, and the pixels of all of them are there."""
        rows = [self._running[clip] for clip in self._seating.slots_by_clip()]
        return bool(rows) and all(running.filled or running.feed.ready for running in rows)

    def _tick(self) -> None:
        rows, slots = self._schedule.rows, self._seating.slots_by_clip()
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
        self._seating.ledger.share(clips, middle - begin, self._clock() - middle)
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
        self._seating.ledger.share([self._running[clip] for clip in found], 0.0, self._clock() - begin)
        self._note(found, self._seating.slots_by_clip())

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
                self._seating.finish(clip, answer)
                if clip in slots:
                    self._schedule.end(slots[clip])

    def _free_the_last(self) -> None:
        """Let clips go whose last step is under way: whatever its verdict says, they need no slot any more."""
        for slot, step in self._asked.hearing.steps.items() if self._asked else ():
            if step == self._last:
                self._schedule.end(slot)


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
