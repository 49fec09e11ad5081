"""Clips come in, are seated by a schedule, get their pixels, and leave with what became of them.

What streams of both kinds of networks have in common: everything but the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...errors import VbenchError
from ..inputs.frame_input import Named
from ..inputs.prefetch import Feed
from ..networks.frameexit_decider import Case
from .active_clip import Ledger, Running
from .options import StreamOptions
from .results import Answer, Outcome
from .schedules import Move, Schedule, Seat, make_schedule
from .waiting_queue import Line, OpenClip

Clock = Callable[[], float]


class Seating:
    """The clips of a stream: those that wait, those that have a slot (``running``, by number), those that are done."""

    def __init__(
        self,
        clips: Iterable[OpenClip | Named[OpenClip]],
        steps: int,
        options: StreamOptions,
        clock: Clock,
        ahead_in_clip: int | None = None,
    ) -> None:
        """Read as `Line` does; clips have ``steps`` steps at most."""
        self.schedule: Schedule = make_schedule(options.schedule, options.slots)
        self.running: dict[int, Running] = {}
        self.ledger = Ledger(clock)
        self._clock = clock
        self._line = Line(clips, steps, options, ahead_in_clip)
        self._done: list[Outcome] = []

    def fill(self, begin: Callable[[int], None], move: Callable[[Move, Running], None]) -> bool:
        """Give the empty slots to waiting clips; say whether there is any row to compute.

        Args:
            begin: told of every slot in which a clip begins.
            move: told of every clip that changes its slot.
        """
        for _ in range(self.schedule.vacancies):
            following = self._line.next()
            if following is None:
                break
            begin(self._seated(*following))
        for each in self.schedule.close_ranks():
            move(each, self.running[self.schedule.rows[each.target].clip])
        return bool(self.schedule.rows)

    def _seated(self, clip: int, feed: Feed) -> int:
        slot = self.schedule.seat(clip)
        self.running[clip] = Running(feed, self._clock(), Case(feed.name))
        feed.read_up_to(1)
        return slot

    def slots_by_clip(self) -> dict[int, int]:
        """Return where each clip sits that wants to go on; only right after `fill`."""
        return {seat.clip: slot for slot, seat in enumerate(self.schedule.rows) if not seat.ended}

    def load_all(self, load: Callable[[int, Seat, Running], None]) -> bool:
        """Have the pixels of every row loaded that has none; False if a clip broke over it and left its slot."""
        rows = self.schedule.rows
        broken = [slot for slot, seat in enumerate(rows) if not seat.ended and not self._loaded(slot, seat, load)]
        for slot in broken:
            self.schedule.end(slot)
        return not broken

    def _loaded(self, slot: int, seat: Seat, load: Callable[[int, Seat, Running], None]) -> bool:
        running = self.running[seat.clip]
        if running.filled:
            return True
        begin = self._clock()
        try:
            load(slot, seat, running)
        except VbenchError as error:
            self.finish(seat.clip, None, error)
            return False
        finally:
            self.ledger.waited(self._clock() - begin)
        running.filled = True
        return True

    def finish(self, clip: int, answer: Answer | None, error: VbenchError | None = None) -> None:
        """Let a clip go with its answer or its error."""
        self._done.append(Outcome(clip, answer, error, self.ledger.close(self.running.pop(clip))))

    def take_done(self) -> list[Outcome]:
        """Return what became of the clips that are done since the last time."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """End all reading."""
        for running in self.running.values():
            running.feed.close()
        self._line.close()
