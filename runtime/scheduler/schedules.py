"""Batching schedules: assign clips to slots.

Schedules are pure state machines over clip numbers and step counts. They do not depend on clocks, engines or frames,
which makes them suitable for property tests with a scripted engine. A tick always computes rows 0 to ``len(active_rows)
- 1`` of the slot buffers, without gaps. No schedule ends a clip, reorders its steps, or starves it, so predictions are
the same under every schedule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from ...errors import UsageError
from ...registry import Registry


@dataclass(frozen=True)
class SlotState:
    """A clip in a slot: its 1-based ``step`` in the next tick, and whether it has ``ended`` but keeps its row."""

    clip: int
    step: int = 1
    ended: bool = False


class SlotMove(NamedTuple):
    """Compaction: move the contents of slot ``source`` to slot ``target``."""

    source: int
    target: int


class Schedule(ABC):
    """Assigns clips to ``slots`` slots.

    Each round consists of `assign` while there are `free_slots` and waiting clips, `compact`, a tick over
    `active_rows`, `end` for every clip that has its result, and `advance`. A failed clip may be ended at any time.

    Attributes:
        name: name of the schedule on the command line.
        keeps_ended: whether the rows of clips that have ended are computed until the whole batch has ended.
    """

    name: ClassVar[str]
    keeps_ended: ClassVar[bool] = False

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise UsageError(f"--slots must be 1 or more, got {slots}", "set --slots to 1 or more")
        self._slots: list[SlotState | None] = [None] * slots

    @property
    def active_rows(self) -> Sequence[SlotState]:
        """Rows of the next tick, in slot order starting at 0; valid only after `compact`."""
        return [state for state in self._slots if state is not None]

    @property
    def free_slots(self) -> int:
        """Number of clips that may currently be assigned."""
        return self._slots.count(None) if self._accepts_clips() else 0

    def assign(self, clip: int) -> int:
        """Assign a clip to the first empty slot, and return that slot."""
        slot = self._slots.index(None)
        self._slots[slot] = SlotState(clip)
        return slot

    def compact(self) -> list[SlotMove]:
        """Move the last clips into earlier, empty slots; the moves must be executed in the order returned."""
        moves: list[SlotMove] = []
        if None not in self._slots:
            return moves
        for target in range(len(self._slots)):
            source = max((slot for slot, state in enumerate(self._slots) if state is not None), default=-1)
            if self._slots[target] is None and source > target:
                moves.append(SlotMove(source, target))
                self._slots[target], self._slots[source] = self._slots[source], None
        return moves

    def end(self, slot: int) -> None:
        """Free the slot of a clip that has ended."""
        self._slots[slot] = None

    def advance(self) -> None:
        """End the tick: advance the remaining clips to their next step."""
        self._slots = [state and SlotState(state.clip, state.step + 1, state.ended) for state in self._slots]

    @abstractmethod
    def _accepts_clips(self) -> bool:
        """Return whether empty slots may currently be filled."""


class InFlight(Schedule):
    """Refill a slot as soon as its clip ends, so slots are at different steps but the batch stays full."""

    name = "inflight"

    def _accepts_clips(self) -> bool:
        return True


class Sequential(InFlight):
    """Run one clip after another, like the original implementation."""

    name = "sequential"

    def __init__(self, slots: int = 1) -> None:
        super().__init__(slots)
        if slots != 1:
            raise UsageError(
                f"the sequential schedule requires 1 slot, got {slots}",
                "omit --slots, or choose another --schedule",
            )


class Compact(Schedule):
    """Start a batch together, compact it as clips end, and start the next batch after the last clip has ended."""

    name = "compact"

    def _accepts_clips(self) -> bool:
        return not any(self._slots)


class Lockstep(Schedule):
    """Static batching: start a batch together and compute all its rows until the slowest clip has ended."""

    name = "lockstep"
    keeps_ended = True

    def _accepts_clips(self) -> bool:
        return not any(self._slots)

    def end(self, slot: int) -> None:
        """Mark the clip as ended; its row is kept until the whole batch has ended."""
        state = self._slots[slot]
        assert state is not None
        self._slots[slot] = replace(state, ended=True)
        if all(state is None or state.ended for state in self._slots):
            self._slots = [None] * len(self._slots)


SCHEDULES: Registry[type[Schedule]] = Registry(
    "schedule", {kind.name: kind for kind in (Sequential, Lockstep, Compact, InFlight)}, group="vbench.schedules"
)


def make_schedule(name: str, slots: int) -> Schedule:
    """Return the schedule ``name`` with ``slots`` empty slots.

    Raises:
        UsageError: there is no such schedule, or it does not support this number of slots.
    """
    return SCHEDULES.get(name)(slots)
