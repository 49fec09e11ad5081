"""Run many clips through the slots of a schedule: the loop that ties schedule, slots and frames together.

All answers come out, in the order in which they are found; a clip that breaks comes out with its error and never
disturbs the others. Whatever the schedule, the slots and the order of the clips, each clip sees the same frames and the
same arithmetic, so answers and exit steps are the same.

Time is accounted for without a gap: between two ticks everything that is neither the engine's nor waiting for pixels
counts as scheduling, what the caller does with the answers included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from ..errors import VbenchError
from .engine import Engine
from .feed import Feed
from .line import Line, OpenClip
from .manifest import FrameExitManifest
from .options import StreamOptions
from .outcome import Answer, Cost, Outcome, Step
from .policy import Policy
from .reader import Named
from .schedule import Schedule, Seat, make_schedule
from .slots import Slots, Tick, Verdict


@dataclass
class _Active:
    """A clip that has a slot."""

    feed: Feed
    begin_s: float
    filled: bool = False
    scores: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    elapsed_s: float = 0.0  # of the tick under way
    cost: Cost = field(default_factory=Cost)


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
        self._engine, self._clock = engine, clock
        self._schedule: Schedule = make_schedule(options.schedule, options.slots)
        self._slots = Slots(engine, manifest, policy, options.slots, clock)
        self._line = Line(clips, manifest.frames, options)
        self._active: dict[int, _Active] = {}
        self._done: list[Outcome] = []
        self._tick_end_s = self._answer_s = clock()
        self._wait_s = 0.0

    def outcomes(self) -> Iterator[Outcome]:
        while self._seat():
            if self._load_all():
                self._tick()
            yield from self._found()

    def close(self) -> None:
        for active in self._active.values():
            active.feed.close()
        self._line.close()

    def _found(self) -> list[Outcome]:
        found, self._done = self._done, []
        return found

    def _seat(self) -> bool:
        """Give the empty slots to waiting clips; say whether there is any row to compute."""
        for _ in range(self._schedule.vacancies):
            following = self._line.next()
            if following is None:
                break
            clip, feed = following
            self._slots.begin(self._schedule.seat(clip), feed.name)
            self._active[clip] = _Active(feed, self._clock())
            feed.read_up_to(1)
        for move in self._schedule.close_ranks():
            clip = self._schedule.rows[move.target].clip
            self._slots.move(move, pixels=self._active[clip].filled)
        return bool(self._schedule.rows)

    def _load_all(self) -> bool:
        """Get the pixels of every row; False if a clip broke over it and left its slot."""
        rows = self._schedule.rows
        broken = [slot for slot, seat in enumerate(rows) if not seat.ended and not self._load(slot, seat)]
        for slot in broken:
            self._schedule.end(slot)
        return not broken

    def _load(self, slot: int, seat: Seat) -> bool:
        active = self._active[seat.clip]
        if active.filled:
            return True
        begin = self._clock()
        try:
            active.feed.pixels(seat.step, self._engine, self._slots.pixels(slot))
        except VbenchError as error:
            self._finish(seat.clip, None, error)
            return False
        finally:
            self._wait_s += self._clock() - begin
        active.filled = True
        return True

    def _tick(self) -> None:
        rows = self._schedule.rows
        tick = self._slots.tick([None if seat.ended else seat.step for seat in rows])
        self._account([self._active[seat.clip] for seat in rows if not seat.ended], tick)
        for slot, (seat, verdict) in enumerate(zip(rows, tick.verdicts)):
            if verdict is not None:
                self._note(slot, seat, verdict)
        self._schedule.advance()

    def _note(self, slot: int, seat: Seat, verdict: Verdict) -> None:
        active = self._active[seat.clip]
        active.filled = False
        active.cost.macs += verdict.macs
        latency_s = self._clock() - active.begin_s
        active.steps.append(Step(verdict.gate, verdict.logits, active.elapsed_s, latency_s))
        if verdict.score is not None:
            active.scores.append(verdict.score)
        if verdict.ends:
            assert verdict.logits is not None
            answer = Answer(verdict.logits, seat.step, tuple(active.scores), tuple(active.steps))
            self._finish(seat.clip, answer, None)
            self._schedule.end(slot)

    def _account(self, clips: list[_Active], tick: Tick) -> None:
        """Share out the time since the last tick over the clips of this one."""
        now, count = self._clock(), len(clips)
        elapsed_s = now - self._tick_end_s
        other_s = elapsed_s - self._wait_s - tick.backbone_s - tick.head_s
        for clip in clips:
            clip.elapsed_s, cost = elapsed_s / count, clip.cost
            cost.wait_s += self._wait_s / count
            cost.backbone_s += tick.backbone_s / count
            cost.head_s += tick.head_s / count
            cost.scheduling_s += other_s / count
            cost.macs_in_vain += tick.idle_macs / count
        self._tick_end_s, self._wait_s = now, 0.0

    def _finish(self, clip: int, answer: Answer | None, error: VbenchError | None) -> None:
        active, now = self._active.pop(clip), self._clock()
        active.feed.close()
        cost = active.cost
        cost.read = replace(active.feed.cost)
        cost.latency_s, cost.elapsed_s = now - active.begin_s, now - self._answer_s
        self._answer_s = now
        self._done.append(Outcome(clip, answer, error, cost))


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
