"""Decide what to run next, and take in the results: the bookkeeping of clips in flight.

The loop runs in one direction: `ClipScheduler.schedule` gives a `Batch` (a record of what to run next), a
`StepExecutor` runs it and gives a `BatchResult`, and `ClipScheduler.update` turns that into the results of the clips
that have ended. Whatever the schedule, the slots and the order of the clips, each clip sees the same frames and the
same arithmetic, so predictions and exit steps are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ...errors import VbenchError
from ..inputs.prefetch import Prefetcher
from .active_clip import ActiveClip, Clock, TimeAccounting
from .decision import ClipHistory, StepDecision
from .program import StepRequest
from .results import ClipResult, Prediction
from .schedules import Schedule, SlotMove
from .waiting_queue import WaitingClip, WaitingQueue

Predict = Callable[[StepDecision, int, int], Prediction]  # of a decision, the exit step, and the clip's MACs


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Attributes:
        clip: its number, whose input is read by ``source``.
        request: its slot, its step, and what the policy knows of it.
        ended: the clip has ended, only its row is still computed.
        loaded: the input of the step is in the slot already.
    """

    clip: int
    source: Prefetcher | None
    request: StepRequest
    ended: bool
    loaded: bool

    @property
    def ready(self) -> bool:
        """Whether its input is there: nobody has to wait for it."""
        return self.loaded or (self.source is not None and self.source.ready)


@dataclass(frozen=True)
class Batch:
    """What to run next: slots to reset, clips to move (with their input where it is loaded), and the rows of a tick."""

    begins: tuple[int, ...]
    moves: tuple[tuple[SlotMove, bool], ...]
    rows: tuple[Row, ...]

    @property
    def active(self) -> tuple[Row, ...]:
        """The rows of clips that have not ended."""
        return tuple(row for row in self.rows if not row.ended)


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch.

    Attributes:
        computed: whether the rows were computed; otherwise an input failed, or only pending decisions were resolved.
        loaded: clips whose input was loaded.
        failed: clips whose input could not be read, with the error.
        launched: clips whose step was launched, with the step; their decisions are among ``decisions``, or pending.
        pending: whether the decisions of ``launched`` are still pending.
        decisions: by clip, those of this batch or of the one before it.
        wasted: clips whose row was computed although their pending decision has ended them.
        row_macs: multiply-accumulates of a row that is computed for a clip that has ended.
        wait_s, backbone_s, head_s: time waiting for pixels, and in the engine.
    """

    computed: bool
    loaded: tuple[int, ...] = ()
    failed: Mapping[int, VbenchError] = field(default_factory=dict)
    launched: Mapping[int, int] = field(default_factory=dict)
    pending: bool = False
    decisions: Mapping[int, StepDecision] = field(default_factory=dict)
    wasted: tuple[int, ...] = ()
    row_macs: int = 0
    wait_s: float = 0.0
    backbone_s: float = 0.0
    head_s: float = 0.0


class ClipScheduler:
    """The clips of a stream: waiting, active (by number) and finished. Owned by one thread."""

    def __init__(self, queue: WaitingQueue, schedule: Schedule, steps: int, predict: Predict, clock: Clock) -> None:
        """Run clips of at most ``steps`` steps."""
        self._queue, self._schedule, self._steps, self._predict = queue, schedule, steps, predict
        self._active: dict[int, ActiveClip] = {}
        self._time = TimeAccounting(clock)
        self._clock = clock

    def schedule(self) -> Batch | None:
        """Return what to run next; waits for a submission where there is nothing to run, None if there will be none."""
        begins = tuple(self._admit())
        while not self._active:
            if not self._queue.wait():
                return None
            self._time.skip_idle()
            begins = tuple(self._admit())
        moves = self._schedule.compact()
        rows = self._schedule.active_rows
        loaded = tuple((move, self._active[rows[move.target].clip].loaded) for move in moves)
        return Batch(begins, loaded, tuple(self._rows()))

    def update(self, batch: Batch, result: BatchResult) -> list[ClipResult]:
        """Take in the result of a batch; returns the results of clips that have ended."""
        slots = {row.clip: row.request.slot for row in batch.active}
        self._time.waited(result.wait_s)
        for clip in result.loaded:
            self._active[clip].loaded = True
        ended = [self._fail(clip, slots[clip], error) for clip, error in result.failed.items()]
        if result.computed or result.decisions:
            self._account(batch, result)
        for clip, step in result.launched.items():
            self._active[clip].loaded = False
            if result.pending and step == self._steps:  # whatever the decision says, the clip needs its slot no more
                self._schedule.end(slots.pop(clip))
        ended += self._record(result.decisions, slots)
        if result.computed:
            self._schedule.advance()
        return ended

    def close(self) -> None:
        """Stop all reading."""
        for active in self._active.values():
            active.source.close()
        self._queue.close()

    def _admit(self) -> Iterator[int]:
        """Assign waiting clips to free slots; yields the slots."""
        for _ in range(self._schedule.free_slots):
            waiting = self._queue.next()
            if waiting is None:
                return
            yield self._start(waiting)

    def _start(self, waiting: WaitingClip) -> int:
        slot = self._schedule.assign(waiting.number)
        history = ClipHistory(waiting.source.name)
        self._active[waiting.number] = ActiveClip(waiting.number, waiting.source, self._clock(), history)
        waiting.source.read_up_to(1)
        return slot

    def _rows(self) -> Iterator[Row]:
        for slot, state in enumerate(self._schedule.active_rows):
            active = self._active.get(state.clip)  # None: it has ended, and a schedule keeps its row
            history = ClipHistory("") if active is None else active.history
            yield Row(
                clip=state.clip,
                source=None if active is None else active.source,
                request=StepRequest(slot, state.step, history),
                ended=state.ended,
                loaded=active is not None and active.loaded,
            )

    def _account(self, batch: Batch, result: BatchResult) -> None:
        """Divide time and wasted compute among the clips that this batch worked for."""
        numbers = dict.fromkeys([*(row.clip for row in batch.active if result.computed), *result.decisions])
        clips = [self._active[number] for number in numbers]
        self._time.share(clips, result.backbone_s, result.head_s)
        for number in result.wasted:
            self._active[number].cost.macs_wasted += result.row_macs
        idle = len(batch.rows) - len(batch.active) if result.computed else 0
        for clip in clips:
            clip.cost.macs_wasted += idle * result.row_macs / len(clips)

    def _fail(self, clip: int, slot: int, error: VbenchError) -> ClipResult:
        self._schedule.end(slot)
        return self._finish(self._active[clip], error=error)

    def _record(self, decisions: Mapping[int, StepDecision], slots: Mapping[int, int]) -> Iterator[ClipResult]:
        """Add decisions to their clips; a clip that ends leaves its slot, if it still has one."""
        for clip, decision in decisions.items():
            active = self._active[clip]
            active.record(decision, self._clock())
            if decision.ends:
                if clip in slots:
                    self._schedule.end(slots[clip])
                yield self._finish(active, decision)

    def _finish(
        self, active: ActiveClip, decision: StepDecision | None = None, error: VbenchError | None = None
    ) -> ClipResult:
        del self._active[active.number]
        cost = self._time.close(active)
        if decision is None:
            return ClipResult(active.number, None, error, (), cost)
        prediction = self._predict(decision, len(active.steps), cost.macs)
        return ClipResult(active.number, prediction, None, tuple(active.steps), cost)
