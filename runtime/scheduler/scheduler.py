"""Scheduler: admit clips to slots, select the next batch, and collect results.

Data flows in one direction: `ClipScheduler.schedule` returns the next `Batch`, a `StepExecutor` runs it and returns a
`BatchResult`, and `ClipScheduler.update` turns that into the results of the clips that have ended. Each clip gets the
same frames and the same arithmetic regardless of the schedule, the number of slots and the order of clips, so
predictions and exit steps are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ...errors import VbenchError
from ..inputs.prefetch import Prefetcher
from .active_clip import ActiveClip, Clock, TimeAccounting
from .decision import ClipHistory, StepDecision
from .program import StepRequest
from .results import ClipCost, ClipResult, Prediction
from .schedules import Schedule, SlotMove, SlotState
from .waiting_queue import WaitingClip, WaitingQueue

_NONE: Mapping[int, Any] = MappingProxyType({})

_NO_HISTORY = ClipHistory("")

Predict = Callable[[StepDecision, int, int], Prediction]  # arguments: decision, exit step, the clip's MACs


class Row(NamedTuple):
    """One row of a batch.

    Attributes:
        clip: number of the clip.
        source: reader of the clip's input; None if the clip has ended.
        request: the clip's slot, step and history.
        ended: whether the clip has ended, although its row is still computed.
        loaded: whether the step's input is already in the slot.
    """

    clip: int
    source: Prefetcher | None
    request: StepRequest
    ended: bool
    loaded: bool

    @property
    def ready(self) -> bool:
        """Whether the input is available without waiting."""
        return self.loaded or (self.source is not None and self.source.ready)


class Batch(NamedTuple):
    """Scheduler output: the next work for the executor.

    Attributes:
        begins: slots to reset for new clips.
        moves: moves between slots, and whether the clip's input is already loaded and has to move as well.
        rows: all rows of the tick.
        active: rows of clips that have not ended.
        rejected: errors for the clips that have waited too long for a slot.
    """

    begins: Sequence[int]
    moves: Sequence[tuple[SlotMove, bool]]
    rows: Sequence[Row]
    active: Sequence[Row]
    rejected: Mapping[int, VbenchError] = _NONE


class BatchResult(NamedTuple):
    """Executor output: the result of a batch.

    Attributes:
        computed: whether the rows were computed; if not, either an input failed or only pending decisions were
            resolved.
        loaded: clips whose input was loaded.
        failed: errors, by clip, for inputs that could not be read.
        launched: step at which each clip's decision was launched; the decision itself is pending, or in ``decisions``.
        pending: whether the decisions of the ``launched`` clips are pending.
        decisions: decisions from this batch or the previous one, by clip.
        wasted: clips whose row was computed although their pending decision then ended them.
        row_macs: multiply-accumulates of a row computed for a clip that has ended.
        wait_s, backbone_s, head_s: time spent waiting for pixels, and time spent in the engine.
    """

    computed: bool
    loaded: Sequence[int] = ()
    failed: Mapping[int, VbenchError] = _NONE
    launched: Mapping[int, int] = _NONE
    pending: bool = False
    decisions: Mapping[int, StepDecision] = _NONE
    wasted: Sequence[int] = ()
    row_macs: int = 0
    wait_s: float = 0.0
    backbone_s: float = 0.0
    head_s: float = 0.0


class ClipScheduler:
    """Tracks the waiting, active and finished clips of a stream. Owned by one thread."""

    def __init__(self, queue: WaitingQueue, schedule: Schedule, steps: int, predict: Predict, clock: Clock) -> None:
        """Create a scheduler for clips of at most ``steps`` steps."""
        self._queue, self._schedule, self._steps, self._predict = queue, schedule, steps, predict
        self._active: dict[int, ActiveClip] = {}
        self._time = TimeAccounting(clock)
        self._clock = clock

    def schedule(self) -> Batch | None:
        """Return the next batch, waiting for a submission if no clip is active; None after the last clip."""
        rejected = self._queue.expire()
        begins = list(self._admit())
        while not self._active and not rejected:
            if not self._queue.wait():
                return None
            self._time.skip_idle()
            rejected = self._queue.expire()
            begins = list(self._admit())
        self._queue.read_ahead()
        moves = self._schedule.compact()
        rows = [self._row(slot, state) for slot, state in enumerate(self._schedule.active_rows)]
        return Batch(
            begins,
            [(move, rows[move.target].loaded) for move in moves],
            rows,
            [row for row in rows if not row.ended],
            rejected,
        )

    def update(self, batch: Batch, result: BatchResult) -> list[ClipResult]:
        """Record the result of a batch and return the results of the clips that have ended."""
        slots = {row.clip: row.request.slot for row in batch.active}
        self._time.add_wait(result.wait_s)
        for clip in result.loaded:
            self._active[clip].loaded = True
        ended = [ClipResult(clip, None, error, (), ClipCost()) for clip, error in batch.rejected.items()]
        ended += [self._fail(clip, slots[clip], error) for clip, error in result.failed.items()]
        if result.computed or result.decisions:
            self._account(batch, result)
        for clip, step in result.launched.items():
            self._active[clip].loaded = False
            if result.pending and step == self._steps:  # the last step always ends the clip, so the slot can be reused
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
        """Assign waiting clips to free slots and yield the slots."""
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

    def _row(self, slot: int, state: SlotState) -> Row:
        active = self._active.get(state.clip)
        if active is None:  # the clip has ended, but the schedule keeps its row
            return Row(state.clip, None, StepRequest(slot, state.step, _NO_HISTORY), state.ended, loaded=False)
        request = StepRequest(slot, state.step, active.history)
        return Row(state.clip, active.source, request, state.ended, active.loaded)

    def _account(self, batch: Batch, result: BatchResult) -> None:
        """Divide time and wasted compute among the clips of this batch."""
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
        """Add the decisions to their clips; a clip that ends frees its slot, if it still has one."""
        for clip, decision in decisions.items():
            active = self._active[clip]
            active.record(decision, self._clock())
            if decision.ends:
                if clip in slots:
                    self._schedule.end(slots[clip])
                yield self._finish(active, decision, decision.error)

    def _finish(
        self, active: ActiveClip, decision: StepDecision | None = None, error: VbenchError | None = None
    ) -> ClipResult:
        del self._active[active.number]
        cost = self._time.close(active)
        if decision is None or error is not None:
            return ClipResult(active.number, None, error, (), cost)
        prediction = self._predict(decision, len(active.steps), cost.macs)
        return ClipResult(active.number, prediction, None, tuple(active.steps), cost, tuple(active.states))
