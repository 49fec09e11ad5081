"""Batching schedules: assign clips to slots.

Pure state machines: they know clips by number and steps by count, and nothing of clocks, engines or frames, so that
they can be tested by property with a scripted engine. What a tick computes is always rows 0 to ``len(active_rows)`` of
the slot buffers, without holes. No schedule ever ends a clip, changes its order of steps, or starves one: that is
why all of them give the same predictions.
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
    """A clip in a slot: ``step`` (1-based) is what the next tick computes; ``ended`` if only its row is still there."""

    clip: int
    step: int = 1
    ended: bool = False


class SlotMove(NamedTuple):
    """Compaction: move the contents of slot ``source`` to slot ``target``."""

    source: int
    target: int


class Schedule(ABC):
    """Assigns clips to ``slots`` slots.

    One round: `assign` while there are `free_slots` and clips, `compact`, a tick over `active_rows`, `end` for every
    clip that has its result (or that failed, at any time), `advance`.

    Attributes:
        name: as users choose it.
        keeps_ended: whether rows of clips that have ended are computed until the whole batch has ended.
    """

    name: ClassVar[str]
    keeps_ended: ClassVar[bool] = False

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise UsageError(f"--slots must be 1 or more, got {slots}", "give --slots 1 or more")
        self._slots: list[SlotState | None] = [None] * slots

    @property
    def active_rows(self) -> Sequence[SlotState]:
        """What the next tick computes, slot by slot from 0; only valid after `compact`."""
        return [state for state in self._slots if state is not None]

    @property
    def free_slots(self) -> int:
        """How many clips may be assigned now."""
        return self._slots.count(None) if self._accepts_clips() else 0

    def assign(self, clip: int) -> int:
        """Put a clip into the first empty slot and return that slot."""
        slot = self._slots.index(None)
        self._slots[slot] = SlotState(clip)
        return slot

    def compact(self) -> list[SlotMove]:
        """Move the last clips into the empty slots before them; the moves have to be made in this order."""
        moves = []
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
        """End the tick: clips that are still there continue with their next step."""
        self._slots = [state and replace(state, step=state.step + 1) for state in self._slots]

    @abstractmethod
    def _accepts_clips(self) -> bool:
        """Say whether empty slots may be filled now."""


class InFlight(Schedule):
    """Refill a slot as soon as its clip ends: the slots stand at different steps, and the batch stays full."""

    name = "inflight"

    def _accepts_clips(self) -> bool:
        return True


class Sequential(InFlight):
    """One clip after the other, as the original does."""

    name = "sequential"

    def __init__(self, slots: int = 1) -> None:
        super().__init__(slots)
        if slots != 1:
            raise UsageError(f"sequential runs in 1 slot, not {slots}", "leave --slots out, or choose another schedule")


class Compact(Schedule):
    """Start a batch together, compact it as clips end, and start the next batch when the last of them has ended."""

    name = "compact"

    def _accepts_clips(self) -> bool:
        return not any(self._slots)


class Lockstep(Schedule):
    """Start a batch together and compute all of it until its slowest clip has ended, as a static batch does."""

    name = "lockstep"
    keeps_ended = True

    def _accepts_clips(self) -> bool:
        return not any(self._slots)

    def end(self, slot: int) -> None:
        """Keep the row until the whole batch has ended."""
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
        UsageError: there is no such schedule, or it cannot have that many slots.
    """
    return SCHEDULES.get(name)(slots)
