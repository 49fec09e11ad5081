"""Properties of the schedules as state machines: every clip and step once and in order, no starvation, no gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.errors import UsageError
from vbench.runtime.scheduler.schedules import SCHEDULES, Schedule, make_schedule

EXITS = st.lists(st.integers(1, 10), max_size=40)
NAMES = st.sampled_from(["lockstep", "compact", "inflight"])


class SimulatedRun:
    """Simulation of a schedule with clips that end after ``exits[clip]`` steps; ``broken`` clips fail at step 1."""

    def __init__(self, schedule: Schedule, exits: list[int], broken: frozenset[int] = frozenset()) -> None:
        self.schedule, self.exits = schedule, exits
        self.waiting = list(range(len(exits)))[::-1]
        self.memory: dict[int, int] = {}  # slot -> clip whose state it holds
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
            failed = [slot for slot, state in enumerate(rows) if state.clip in broken and not state.ended]
            if not failed:
                return bool(rows)
            for slot in failed:
                self.schedule.end(slot)

    def tick(self) -> None:
        rows = list(self.schedule.active_rows)
        self.ticks.append([(state.clip, state.step, state.ended) for state in rows])
        for slot, state in enumerate(rows):
            assert self.memory[slot] == state.clip, "a row must belong to the clip whose state is in the slot"
            if not state.ended and state.step == self.exits[state.clip]:
                self.schedule.end(slot)
        self.schedule.advance()

    def steps(self, clip: int) -> list[int]:
        return [step for tick in self.ticks for other, step, ended in tick if other == clip and not ended]


@given(NAMES, st.integers(1, 9), EXITS)
def test_each_clip_runs_once_with_its_steps_in_order(name: str, slots: int, exits: list[int]) -> None:
    run = SimulatedRun(make_schedule(name, slots), exits)
    assert run.assigned == list(range(len(exits)))
    for clip, last in enumerate(exits):
        assert run.steps(clip) == list(range(1, last + 1))
    assert all(1 <= len(tick) <= slots for tick in run.ticks)


@given(NAMES, st.integers(1, 9), EXITS, st.frozensets(st.integers(0, 39)))
def test_broken_clips_do_not_affect_others(name: str, slots: int, exits: list[int], broken: frozenset[int]) -> None:
    run = SimulatedRun(make_schedule(name, slots), exits, broken)
    for clip, last in enumerate(exits):
        assert run.steps(clip) == ([] if clip in broken else list(range(1, last + 1)))


@given(NAMES, st.integers(1, 9), EXITS)
def test_an_assigned_clip_is_in_every_tick_until_it_ends(name: str, slots: int, exits: list[int]) -> None:
    run = SimulatedRun(make_schedule(name, slots), exits)
    for clip, last in enumerate(exits):
        ticks = [number for number, tick in enumerate(run.ticks) for other, _, _ in tick if other == clip]
        assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
        assert len(ticks) >= last


@given(st.integers(1, 9), EXITS)
def test_inflight_keeps_all_slots_full_while_clips_wait(slots: int, exits: list[int]) -> None:
    run = SimulatedRun(make_schedule("inflight", slots), exits)
    assert sum(len(tick) for tick in run.ticks) == sum(exits), "no row wasted"
    started: set[int] = set()
    for tick in run.ticks:
        started.update(clip for clip, _, _ in tick)
        assert len(tick) == slots or len(started) == len(exits)


@given(st.integers(1, 9), EXITS)
def test_lockstep_and_compact_wait_for_the_slowest_clip(slots: int, exits: list[int]) -> None:
    batches = [exits[start : start + slots] for start in range(0, len(exits), slots)]
    lockstep, compact = (SimulatedRun(make_schedule(name, slots), exits) for name in ("lockstep", "compact"))
    for run in (lockstep, compact):
        assert len(run.ticks) == sum(max(batch) for batch in batches)
    rows = [sum(len(tick) for tick in run.ticks) for run in (lockstep, compact)]
    assert rows == [sum(len(batch) * max(batch) for batch in batches), sum(exits)]


@given(EXITS)
def test_every_schedule_is_sequential_with_one_slot(exits: list[int]) -> None:
    expected = [[(clip, step, False)] for clip, last in enumerate(exits) for step in range(1, last + 1)]
    for name in SCHEDULES:
        assert SimulatedRun(make_schedule(name, 1), exits).ticks == expected


def test_invalid_schedules_are_rejected() -> None:
    with pytest.raises(
        UsageError, match=r"^unknown schedule 'fast'; choose one of sequential, lockstep, compact, inflight$"
    ):
        make_schedule("fast", 4)
    with pytest.raises(UsageError, match=r"^--slots must be 1 or more, got 0"):
        make_schedule("inflight", 0)
    with pytest.raises(UsageError, match=r"^the sequential schedule requires 1 slot, got 4; omit --slots"):
        make_schedule("sequential", 4)
