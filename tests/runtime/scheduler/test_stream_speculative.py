"""Speculative execution: the next frame starts before the pending decision is resolved, and its waste is counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.marks import slow_except
from tests.scripted import ScriptedEngine, ScriptedReader, macs, stream
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import Array, Handle
from vbench.runtime.inputs.reader_threads import ReadTask
from vbench.runtime.policies.base import Policy
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.rules import Confidence, Fixed, Patience, RunAll
from vbench.runtime.scheduler import waiting_queue
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipResult

POLICY = FrameExitPolicy(0.95)
SPECULATIVE = StreamOptions(prefetch=1, sync="speculative")
SCHEDULES = st.tuples(st.sampled_from(["lockstep", "compact", "inflight"]), st.integers(1, 6))
EXITS = st.lists(st.integers(1, 10), max_size=14)
several_bundles_are_the_same = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class AtOnce:
    """Reader threads that run every task immediately, so that reads have always completed."""

    def __init__(self, *_: Any) -> None:
        pass

    def submit(self, task: ReadTask) -> None:
        task.run()

    def close(self) -> None:
        pass


class Asynchronous(ScriptedEngine):
    """Records when values are fetched and when they are waited for."""

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        self.calls.append(("fetch", len(handle)))
        values = handle.copy()

        def wait() -> Array:
            self.calls.append(("wait", len(values)))
            return values

        return wait

    def names(self) -> list[str]:
        return [part for part, _ in self.calls]

    def rows_of(self, part: str) -> int:
        return sum(rows for name, rows in self.calls if name == part)


@pytest.fixture
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_queue, "ReaderThreads", AtOnce)


def run(
    bundle: Bundle, exits: list[int], options: StreamOptions, policy: Policy = POLICY, broken: int | None = None
) -> tuple[list[ClipResult], Asynchronous]:
    engine = Asynchronous(bundle.manifest, exits)
    readers = [partial(ScriptedReader, bundle.manifest, clip, broken) for clip in range(len(exits))]
    results = sorted(stream(engine, bundle.manifest, policy, readers, options), key=lambda outcome: outcome.clip)
    return results, engine


@pytest.mark.usefixtures("read_at_once")
def test_the_next_backbone_runs_before_the_decision_is_resolved(tiny_bundle: Bundle) -> None:
    _, engine = run(tiny_bundle, [3], SPECULATIVE)
    assert engine.names() == [
        *("backbone", "accumulator", "classifiers", "fetch"),
        *("backbone", "wait", "accumulator", "gates", "fetch", "classifiers", "fetch"),
        *("backbone", "wait", "wait", "accumulator", "gates", "fetch", "classifiers", "fetch"),
        *("backbone", "wait", "wait"),
    ]


@pytest.mark.usefixtures("read_at_once")
def test_nothing_is_started_after_the_last_step(tiny_bundle: Bundle) -> None:
    """A clip at its last step frees its slot without a decision."""
    (first, second), engine = run(tiny_bundle, [10, 2], StreamOptions("inflight", 1, 1, sync="speculative"))
    assert engine.rows_of("backbone") == 10 + 2 + 1
    names = engine.names()
    last = [place for place, name in enumerate(names) if name == "classifiers"][9]
    assert names[last : last + 4] == ["classifiers", "fetch", "backbone", "wait"], "the next clip's"
    row_macs = macs(tiny_bundle.manifest, {"backbone": 1})
    assert first.cost.macs_wasted == macs(tiny_bundle.manifest, {"classifiers": 8})
    assert second.cost.macs_wasted == row_macs


@pytest.mark.usefixtures("read_at_once")
@several_bundles_are_the_same
@given(EXITS, SCHEDULES)
def test_wasted_compute_is_counted(tiny_bundle: Bundle, exits: list[int], schedule: tuple[str, int]) -> None:
    """If every frame is ready, each exiting clip wastes one backbone row, and every step runs a classifier."""
    name, slots = schedule
    manifest = tiny_bundle.manifest
    step, _ = run(tiny_bundle, exits, StreamOptions(name, slots, 1))
    ahead, engine = run(tiny_bundle, exits, StreamOptions(name, slots, 1, sync="speculative"))
    assert [one.cost.macs for one in ahead] == [one.cost.macs for one in step]
    early = sum(last < 10 for last in exits)
    ran = {part: engine.rows_of(part) for part in manifest.parts}
    assert sum(one.cost.macs + one.cost.macs_wasted for one in ahead) == pytest.approx(macs(manifest, ran))
    if name != "lockstep":
        assert ran["backbone"] == sum(exits) + early
        assert all(one.cost.read.frames_read <= last + 2 for one, last in zip(ahead, exits))


@pytest.mark.usefixtures("read_at_once")
@pytest.mark.parametrize(
    "policy",
    slow_except([POLICY, Patience(2)], [POLICY, Confidence(0.95), RunAll(), Fixed(3), Patience(2)]),
    ids=lambda policy: type(policy).__name__,
)
@several_bundles_are_the_same
@given(exits=EXITS, schedule=SCHEDULES)
def test_steps_and_scores_are_the_same(
    tiny_bundle: Bundle, policy: Policy, exits: list[int], schedule: tuple[str, int]
) -> None:
    """The policy does not see logits that it did not request, although they have been computed."""
    step, ahead = (
        run(tiny_bundle, exits, StreamOptions(*schedule, 1, sync=sync), policy)[0] for sync in ("step", "speculative")
    )
    for one, other in zip(ahead, step):
        assert one.prediction is not None
        assert other.prediction is not None
        assert (one.prediction.exit_step, one.scores) == (other.prediction.exit_step, other.scores)
        assert [entry.gate for entry in one.steps] == [entry.gate for entry in other.steps]
        for mine, expected in zip(one.steps, other.steps):
            np.testing.assert_array_equal(mine.logits, expected.logits)  # None or numbers


@pytest.mark.usefixtures("read_at_once")
def test_an_unneeded_frame_may_be_broken(tiny_bundle: Bundle) -> None:
    """The prediction at step 3 is unaffected by frame 4, which is already started and cannot be read."""
    (answered, failed), engine = run(tiny_bundle, [3, 5], StreamOptions("inflight", 2, 1, sync="speculative"), broken=4)
    assert answered.prediction is not None
    assert answered.prediction.exit_step == 3
    assert str(failed.error) == "scripted failure"
    assert engine.rows_of("backbone") == 3 + 3, "no row may be started without pixels"


def test_pixels_are_not_waited_for_while_a_decision_is_pending(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the next frame of a clip is still being read, the decision is resolved first, as with ``step``."""

    class Idle(AtOnce):
        """Defers each task until something waits for it."""

        def __init__(self, *_: Any) -> None:
            self.tasks: list[ReadTask] = []
            pools.append(self)

        def submit(self, task: ReadTask) -> None:
            self.tasks.append(task)

    pools: list[Idle] = []
    waits: list[int] = []

    def wait_for(_condition: Any, ready: Callable[[], Any], _limit_s: float = 0.0) -> bool:
        waits.append(len(engine.calls))
        while not ready():
            pools[0].tasks.pop(0).run()
        return True

    monkeypatch.setattr(waiting_queue, "ReaderThreads", Idle)
    monkeypatch.setattr("vbench.runtime.inputs.prefetch.Condition.wait_for", wait_for)
    engine = Asynchronous(tiny_bundle.manifest, [3])
    (result,) = stream(
        engine, tiny_bundle.manifest, POLICY, [partial(ScriptedReader, tiny_bundle.manifest, 0)], SPECULATIVE
    )
    assert result.prediction is not None
    assert result.prediction.exit_step == 3
    assert engine.rows_of("backbone") == 3
    assert result.cost.read.frames_read == 3
    for calls in waits:
        before = engine.names()[:calls]
        assert before.count("fetch") == before.count("wait"), "a decision must not be pending while pixels are awaited"


class Clock:
    """Advances by one second per call."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.usefixtures("read_at_once")
@pytest.mark.parametrize("schedule", ["lockstep", "compact", "inflight"])
def test_all_time_is_accounted_for(tiny_bundle: Bundle, schedule: str) -> None:
    manifest, clock = tiny_bundle.manifest, Clock()
    readers = [partial(ScriptedReader, manifest, clip) for clip in range(5)]
    options = StreamOptions(schedule, 2, 1, sync="speculative")
    outcomes = list(stream(ScriptedEngine(manifest, [3, 1, 10, 4, 2]), manifest, POLICY, readers, options, clock))
    split = sum(o.cost.wait_s + o.cost.backbone_s + o.cost.head_s + o.cost.scheduling_s for o in outcomes)
    elapsed = sum(outcome.cost.elapsed_s for outcome in outcomes)
    assert 0 <= elapsed - split <= 4, "only time after the last tick may be missing"
    steps = sum(step.elapsed_s for o in outcomes for step in o.steps)
    assert steps == pytest.approx(split), "all time must be attributed to steps"
    assert all(step.elapsed_s > 0 for o in outcomes for step in o.steps)
