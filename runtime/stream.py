"""Run many clips through the slots of a schedule: the loop that ties schedule, slots and frames together.

All answers come out, in the order in which they are found; a clip that breaks comes out with its error and never
disturbs the others. Whatever the schedule, the slots and the order of the clips, each clip sees the same frames and the
same arithmetic, so answers and exit steps are the same.

Time is accounted for without a gap: between two ticks everything that is neither the engine's nor waiting for pixels
counts as scheduling, what the caller does with the answers included.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import VbenchError
from .engine import Engine
from .feed import Feed
from .manifest import Manifest
from .options import StreamOptions
from .policy import Policy
from .reader import ReadCost, Reader
from .schedule import Schedule, Seat, Sequential, make_schedule
from .slots import Slots, Tick, Verdict

OpenClip = Callable[[], Reader]


@dataclass(frozen=True)
class Answer:
    """Answer of one clip: float32 ``logits [classes]``, the 1-based exit step, and what the policy compared on the way.

    ``scores`` holds one number for every step but the network's last: the confidence of step 1, then gate values.
    """

    logits: NDArray[np.float32]
    exit_step: int
    scores: tuple[float, ...]


@dataclass
class Cost:
    """What one clip has cost. Times in seconds; those of a batch are shared out evenly over the clips in it.

    Attributes:
        read: frames and time of its reader.
        macs: multiply-accumulates of every part that ran for it.
        macs_in_vain: those of rows that were computed although their clip had ended, its share of them.
        latency_s: from its start (when it is given a slot) to its answer.
        wait_s: time in which the engine waited for pixels.
        backbone_s, head_s: time in the engine; the head is accumulator, gates and classifiers.
        scheduling_s: everything else between ticks.
        elapsed_s: wall-clock time since the answer before it, so that the sum over clips is the whole time.
    """

    read: ReadCost = field(default_factory=ReadCost)
    macs: int = 0
    macs_in_vain: float = 0.0
    latency_s: float = 0.0
    wait_s: float = 0.0
    backbone_s: float = 0.0
    head_s: float = 0.0
    scheduling_s: float = 0.0
    elapsed_s: float = 0.0


class Outcome(NamedTuple):
    """What became of the clip number ``clip`` (from 0, in the order given): an answer or an error, and its cost."""

    clip: int
    answer: Answer | None
    error: VbenchError | None
    cost: Cost


@dataclass
class _Active:
    """A clip that has a slot."""

    feed: Feed
    begin_s: float
    filled: bool = False
    scores: list[float] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


def stream(
    engine: Engine,
    manifest: Manifest,
    policy: Policy,
    clips: Iterable[OpenClip],
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
        manifest: Manifest,
        policy: Policy,
        clips: Iterable[OpenClip],
        options: StreamOptions,
        clock: Callable[[], float],
    ) -> None:
        self._engine, self._clock = engine, clock
        self._schedule: Schedule = make_schedule(options.schedule, options.slots)
        self._slots = Slots(engine, manifest, policy, options.slots, clock)
        self._line = _Line(clips, manifest.frames, options)
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
            self._slots.begin(self._schedule.seat(clip))
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
        self._account([self._active[seat.clip].cost for seat in rows if not seat.ended], tick)
        for slot, (seat, verdict) in enumerate(zip(rows, tick.verdicts)):
            if verdict is not None:
                self._note(slot, seat, verdict)
        self._schedule.advance()

    def _note(self, slot: int, seat: Seat, verdict: Verdict) -> None:
        active = self._active[seat.clip]
        active.filled = False
        active.cost.macs += verdict.macs
        if verdict.score is not None:
            active.scores.append(verdict.score)
        if verdict.logits is not None:
            self._finish(seat.clip, Answer(verdict.logits, seat.step, tuple(active.scores)), None)
            self._schedule.end(slot)

    def _account(self, costs: list[Cost], tick: Tick) -> None:
        """Share out the time since the last tick over the clips of this one."""
        now, count = self._clock(), len(costs)
        other_s = now - self._tick_end_s - self._wait_s - tick.backbone_s - tick.head_s
        for cost in costs:
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


class _Line:
    """The clips that wait for a slot. As many as there are slots have their first frame read already.

    With `sequential` none has: one clip's latency is measured from its opening, and nothing else may go on meanwhile.
    """

    def __init__(self, clips: Iterable[OpenClip], steps: int, options: StreamOptions) -> None:
        self._numbered = enumerate(clips)
        self._options, self._steps = options, steps
        self._executor = ThreadPoolExecutor(options.workers, "vbench-reader") if options.prefetch else None
        self._ahead = options.slots if options.prefetch and options.schedule != Sequential.name else 0
        self._waiting: deque[tuple[int, Feed]] = deque()

    def next(self) -> tuple[int, Feed] | None:
        """Return the next clip and its feed, None if there is no more."""
        while len(self._waiting) <= self._ahead:
            numbered = next(self._numbered, None)
            if numbered is None:
                break
            clip, open_clip = numbered
            feed = Feed(open_clip, self._steps, self._options.prefetch, self._executor)
            self._waiting.append((clip, feed))
            if self._ahead:
                feed.read_up_to(1)
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        for _, feed in self._waiting:
            feed.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def run_clip(engine: Engine, manifest: Manifest, policy: Policy, clip: OpenClip) -> tuple[Answer, Cost]:
    """Run one clip on the calling thread and return its answer and its cost.

    Raises:
        VbenchError: the clip gives no frames that the network could take.
    """
    (outcome,) = stream(engine, manifest, policy, [clip], StreamOptions())
    if outcome.error is not None:
        raise outcome.error
    assert outcome.answer is not None
    return outcome.answer, outcome.cost
