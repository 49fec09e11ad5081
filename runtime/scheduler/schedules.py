"""Which clip sits in which slot, and when: the schedules.

Pure state machines: they know clips by number and steps by count, and nothing of clocks, engines or frames, so that
they can be tested by property with a scripted engine. What a tick computes is always rows 0 to ``len(rows)`` of the
slot buffers, without holes. No schedule ever ends a clip, changes its order of steps, or lets one wait for ever: that
is why all of them give the same answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...errors import UsageError


@dataclass(frozen=True)
class Seat:
    """A clip in a slot: ``step`` (1-based) is what the next tick computes; ``ended`` if only its row is still there."""

    clip: int
    step: int = 1
    ended: bool = False


class Move(NamedTuple):
    """A survivor closes ranks: everything of slot ``source`` goes to slot ``target``."""

    source: int
    target: int


class Schedule(ABC):
    """Seats clips in ``slots`` slots.

    One round is: `seat` while there are `vacancies` and clips, `close_ranks`, then a tick over `rows`, then `end` for
    every clip that has its answer (or that broke, at any time), then `advance`.
    """

    name: str

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise UsageError(f"{slots} slots are none", "give --slots 1 or more")
        self._seats: list[Seat | None] = [None] * slots

    @property
    def rows(self) -> Sequence[Seat]:
        """What the next tick computes, slot by slot from 0; only valid after `close_ranks`."""
        return [seat for seat in self._seats if seat is not None]

    @property
    def vacancies(self) -> int:
        """How many clips may be seated now."""
        return self._seats.count(None) if self._open() else 0

    def seat(self, clip: int) -> int:
        """Seat a clip in the first empty slot and return that slot."""
        slot = self._seats.index(None)
        self._seats[slot] = Seat(clip)
        return slot

    def close_ranks(self) -> list[Move]:
        """Let the last survivors move into the empty slots before them; the moves are to be made in this order."""
        moves = []
        for target in range(len(self._seats)):
            source = max((slot for slot, seat in enumerate(self._seats) if seat is not None), default=-1)
            if self._seats[target] is None and source > target:
                moves.append(Move(source, target))
                self._seats[target], self._seats[source] = self._seats[source], None
        return moves

    def end(self, slot: int) -> None:
        """Note that the clip of this slot is done with."""
        self._seats[slot] = None

    def advance(self) -> None:
        """Note that the tick is over: whoever is still there goes on to the next step."""
        self._seats = [seat and replace(seat, step=seat.step + 1) for seat in self._seats]

    @abstractmethod
    def _open(self) -> bool:
        """Say whether empty slots may be filled now."""


class InFlight(Schedule):
    """Refill a slot as soon as its clip ends: the slots stand at different steps, and the batch stays full."""

    name = "inflight"

    def _open(self) -> bool:
        return True


class Sequential(InFlight):
    """One clip after the other, as the original does."""

    name = "sequential"

    def __init__(self, slots: int = 1) -> None:
        super().__init__(slots)
        if slots != 1:
            raise UsageError(f"sequential runs in 1 slot, not {slots}", "leave --slots out, or choose another schedule")


class Compact(Schedule):
    """Start a batch together; survivors close ranks, and the next batch starts when the last of them has ended."""

    name = "compact"

    def _open(self) -> bool:
        return not any(self._seats)


class Lockstep(Schedule):
    """Start a batch together and compute all of it until its slowest clip has ended, as a static batch does."""

    name = "lockstep"

    def _open(self) -> bool:
        return not any(self._seats)

    def end(self, slot: int) -> None:
        """Keep the row until the whole batch has ended."""
        seat = self._seats[slot]
        assert seat is not None
        self._seats[slot] = replace(seat, ended=True)
        if all(seat is None or seat.ended for seat in self._seats):
            self._seats = [None] * len(self._seats)


SCHEDULES: dict[str, type[Schedule]] = {kind.name: kind for kind in (Sequential, Lockstep, Compact, InFlight)}


def make_schedule(name: str, slots: int) -> Schedule:
    """Return the schedule ``name`` with ``slots`` empty slots.

    Raises:
        UsageError: there is no such schedule, or it cannot have that many slots.
    """
    if name not in SCHEDULES:
        raise UsageError(f"no schedule {name!r}", f"choose one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name](slots)
