"""The schedules as state machines: every clip once, every step in order, nobody waits for ever, no holes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.errors import UsageError
from vbench.runtime.scheduler.schedules import SCHEDULES, Schedule, make_schedule

EXITS = st.lists(st.integers(1, 10), max_size=40)
NAMES = st.sampled_from(["lockstep", "compact", "inflight"])


class Played:
    """What a schedule does with clips that end after ``exits[clip]`` steps; ``broken`` never get to their first."""

    def __init__(self, schedule: Schedule, exits: list[int], broken: frozenset[int] = frozenset()) -> None:
        self.schedule, self.exits = schedule, exits
        self.waiting = list(range(len(exits)))[::-1]
        self.memory: dict[int, int] = {}  # slot -> the clip whose state lies there
        self.ticks: list[list[tuple[int, int, bool]]] = []
        self.assigned: list[int] = []
        while self.fill(broken):
            self.tick()

    def fill(self, broken: frozenset[int]) -> bool:
        while True:
            for _ in range(self.schedule.free_slots):
                if self.waiting:
                    clip = self.waiting.pop()
                    self.assigned.append(clip)
                    self.memory[self.schedule.assign(clip)] = clip
            for move in self.schedule.compact():
                assert move.target < move.source
                self.memory[move.target] = self.memory.pop(move.source)
            rows = self.schedule.active_rows
            hopeless = [slot for slot, state in enumerate(rows) if state.clip in broken and not state.ended]
            if not hopeless:
                return bool(rows)
            for slot in hopeless:
                self.schedule.end(slot)

    def tick(self) -> None:
        rows = list(self.schedule.active_rows)
        self.ticks.append([(state.clip, state.step, state.ended) for state in rows])
        for slot, state in enumerate(rows):
            assert self.memory[slot] == state.clip, "a row belongs to the clip whose state lies there"
            if not state.ended and state.step == self.exits[state.clip]:
                self.schedule.end(slot)
        self.schedule.advance()

    def steps(self, clip: int) -> list[int]:
        return [step for tick in self.ticks for other, step, ended in tick if other == clip and not ended]


@given(NAMES, st.integers(1, 9), EXITS)
def test_every_clip_once_and_every_step_in_order(name: str, slots: int, exits: list[int]) -> None:
    played = Played(make_schedule(name, slots), exits)
    assert played.assigned == list(range(len(exits)))
    for clip, last in enumerate(exits):
        assert played.steps(clip) == list(range(1, last + 1))
    assert all(1 <= len(tick) <= slots for tick in played.ticks)


@given(NAMES, st.integers(1, 9), EXITS, st.frozensets(st.integers(0, 39)))
def test_broken_clips_disturb_nobody(name: str, slots: int, exits: list[int], broken: frozenset[int]) -> None:
    played = Played(make_schedule(name, slots), exits, broken)
    for clip, last in enumerate(exits):
        assert played.steps(clip) == ([] if clip in broken else list(range(1, last + 1)))


@given(NAMES, st.integers(1, 9), EXITS)
def test_a_clip_once_assigned_is_in_every_tick_until_it_ends(name: str, slots: int, exits: list[int]) -> None:
    played = Played(make_schedule(name, slots), exits)
    for clip, last in enumerate(exits):
        ticks = [number for number, tick in enumerate(played.ticks) for other, _, _ in tick if other == clip]
        assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
        assert len(ticks) >= last


@given(st.integers(1, 9), EXITS)
def test_inflight_is_full_as_long_as_clips_wait(slots: int, exits: list[int]) -> None:
    played = Played(make_schedule("inflight", slots), exits)
    assert sum(len(tick) for tick in played.ticks) == sum(exits), "no row wasted"
    started: set[int] = set()
    for tick in played.ticks:
        started.update(clip for clip, _, _ in tick)
        assert len(tick) == slots or len(started) == len(exits)


@given(st.integers(1, 9), EXITS)
def test_lockstep_and_compact_wait_for_the_slowest(slots: int, exits: list[int]) -> None:
    batches = [exits[start : start + slots] for start in range(0, len(exits), slots)]
    lockstep, compact = (Played(make_schedule(name, slots), exits) for name in ("lockstep", "compact"))
    for played in (lockstep, compact):
        assert len(played.ticks) == sum(max(batch) for batch in batches)
    rows = [sum(len(tick) for tick in played.ticks) for played in (lockstep, compact)]
    assert rows == [sum(len(batch) * max(batch) for batch in batches), sum(exits)]


@given(EXITS)
def test_one_slot_is_sequential_whatever_the_schedule(exits: list[int]) -> None:
    wanted = [[(clip, step, False)] for clip, last in enumerate(exits) for step in range(1, last + 1)]
    for name in SCHEDULES:
        assert Played(make_schedule(name, 1), exits).ticks == wanted


def test_what_is_no_schedule() -> None:
    with pytest.raises(
        UsageError, match=r"^there is no schedule 'fast'; choose one of sequential, lockstep, compact, inflight$"
    ):
        make_schedule("fast", 4)
    with pytest.raises(UsageError, match=r"^--slots must be 1 or more, got 0"):
        make_schedule("inflight", 0)
    with pytest.raises(UsageError, match=r"^sequential runs in 1 slot, not 4; leave --slots out"):
        make_schedule("sequential", 4)
