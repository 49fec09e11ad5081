"""Many clips through the slots: the same answers whatever the schedule, the slots, the order and the threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vbench
from tests.scripted import ScriptedEngine, ScriptedReader, macs
from vbench.errors import FrameError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.networks.frameexit import FrameExitNetwork
from vbench.runtime.networks.frameexit_loop import run_clip, stream
from vbench.runtime.policies.base import FrameExitPolicy
from vbench.runtime.scheduler.options import LATENCY, THROUGHPUT, StreamOptions, stream_options
from vbench.runtime.scheduler.results import Outcome

POLICY = FrameExitPolicy(0.95)
OPTIONS = st.builds(
    StreamOptions,
    schedule=st.sampled_from(["lockstep", "compact", "inflight"]),
    slots=st.integers(1, 6),
    prefetch=st.integers(0, 3),
    workers=st.integers(1, 3),
) | st.builds(StreamOptions, prefetch=st.integers(0, 3))
LATE_OPTIONS = st.builds(
    StreamOptions,
    schedule=st.sampled_from(["lockstep", "compact", "inflight"]),
    slots=st.integers(1, 6),
    prefetch=st.integers(1, 3),
    workers=st.integers(1, 3),
    sync=st.just("late"),
) | st.builds(StreamOptions, prefetch=st.integers(1, 3), sync=st.just("late"))
several_bundles_are_the_same = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def run(
    manifest: Manifest, exits: list[int], options: StreamOptions, broken: dict[int, int] | None = None
) -> tuple[list[Outcome], list[ScriptedReader], ScriptedEngine]:
    engine = ScriptedEngine(manifest, exits)
    readers = [ScriptedReader(manifest, clip, (broken or {}).get(clip)) for clip in range(len(exits))]
    opens = [partial(lambda reader: reader, reader) for reader in readers]
    return list(stream(engine, manifest, POLICY, opens, options)), readers, engine


@several_bundles_are_the_same
@given(
    st.lists(st.integers(1, 10), max_size=14),
    OPTIONS | LATE_OPTIONS,
    st.dictionaries(st.integers(0, 13), st.integers(1, 10), max_size=4),
)
def test_same_answers_whatever_the_schedule(
    tiny_bundle: Bundle, exits: list[int], options: StreamOptions, broken: dict[int, int]
) -> None:
    manifest = tiny_bundle.manifest
    outcomes, readers, engine = run(manifest, exits, options, broken)
    assert sorted(outcome.clip for outcome in outcomes) == list(range(len(exits))), "clips in are clips out"
    for outcome in outcomes:
        clip, reader = outcome.clip, readers[outcome.clip]
        if broken.get(clip, 99) <= exits[clip]:
            assert outcome.answer is None
            assert str(outcome.error) == "broken as told"
            continue
        assert outcome.error is None
        assert outcome.answer is not None
        assert outcome.answer.exit_step == exits[clip]
        np.testing.assert_array_equal(outcome.answer.logits, engine.logits(clip, exits[clip]).astype(np.float32))
        assert len(outcome.answer.scores) == min(exits[clip], 9)
        used = exits[clip]
        assert reader.steps == list(range(1, len(reader.steps) + 1)), "frames are read once, in order"
        ahead = options.prefetch + (options.sync == "late")
        assert used <= len(reader.steps) <= min(used + ahead, 10)
        assert outcome.cost.macs == wanted_macs(manifest, used)
        assert reader.closed


def wanted_macs(manifest: Manifest, steps: int) -> int:
    calls = Counter({"backbone": steps, "accumulator": steps, "classifier_01": 1})
    calls.update(f"gate_{step:02d}" for step in range(2, min(steps, 9) + 1))
    if steps > 1:
        calls[f"classifier_{steps:02d}"] += 1
    return macs(manifest, calls)


@several_bundles_are_the_same
@given(st.lists(st.integers(1, 10), min_size=1, max_size=14), OPTIONS)
def test_parts_run_no_more_than_needed(tiny_bundle: Bundle, exits: list[int], options: StreamOptions) -> None:
    outcomes, _, engine = run(tiny_bundle.manifest, exits, options)
    rows: Counter[str] = Counter()
    for part, count in engine.calls:
        rows[part] += count
    for step in range(2, 10):
        assert rows[f"gate_{step:02d}"] == sum(last >= step for last in exits)
        assert rows[f"classifier_{step:02d}"] == exits.count(step)
    assert rows["classifier_01"] == len(exits)
    idle = rows["backbone"] - sum(exits)
    assert idle == 0 or options.schedule == "lockstep"
    row_macs = macs(tiny_bundle.manifest, {"backbone": 1, "accumulator": 1})
    assert sum(outcome.cost.macs_in_vain for outcome in outcomes) == pytest.approx(idle * row_macs)


class Clock:
    """Time passes only when somebody looks: one second a look."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("schedule", ["lockstep", "compact", "inflight"])
def test_time_is_accounted_for_without_a_gap(tiny_bundle: Bundle, schedule: str) -> None:
    manifest, exits, clock = tiny_bundle.manifest, [3, 1, 10, 4, 2], Clock()
    readers = [partial(ScriptedReader, manifest, clip) for clip in range(5)]
    options = StreamOptions(schedule, slots=2)
    outcomes = list(stream(ScriptedEngine(manifest, exits), manifest, POLICY, readers, options, clock))
    costs = [outcome.cost for outcome in outcomes]
    split = sum(cost.wait_s + cost.backbone_s + cost.head_s + cost.scheduling_s for cost in costs)
    elapsed = sum(cost.elapsed_s for cost in costs)
    assert 0 <= elapsed - split <= 3, "only what came after the last tick may differ"
    assert elapsed == clock.now - 1
    assert all(cost.latency_s > 0 and cost.backbone_s > 0 and cost.wait_s > 0 for cost in costs)


def test_memory_does_not_grow_with_the_clips(tiny_bundle: Bundle) -> None:
    """At most the clips in slots and those next in line are open, however many there are."""
    manifest, open_now, most = tiny_bundle.manifest, 0, 0

    class Counting(ScriptedReader):
        def close(self) -> None:
            nonlocal open_now
            open_now -= not self.closed
            super().close()

    def clips() -> Iterator[partial[ScriptedReader]]:
        def opened(clip: int) -> ScriptedReader:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            return Counting(manifest, clip)

        for clip in range(300):
            yield partial(opened, clip)

    exits = [1 + clip % 10 for clip in range(300)]
    found = stream(ScriptedEngine(manifest, exits), manifest, POLICY, clips(), StreamOptions("inflight", 4, 1))
    assert sum(1 for _ in found) == 300
    assert most <= 9
    assert open_now == 0


@pytest.mark.parametrize("prefetch", [0, 1])
def test_a_decoder_may_raise_anything(tiny_bundle: Bundle, prefetch: int) -> None:
    manifest = tiny_bundle.manifest
    readers = [ScriptedReader(manifest, 0), ScriptedReader(manifest, 1, 2, ZeroDivisionError("by a decoder"))]
    opens = [*(partial(lambda reader: reader, reader) for reader in readers), partial(int, "no number")]
    options = StreamOptions("inflight", 3, prefetch)
    found = {found.clip: found for found in stream(ScriptedEngine(manifest, [4, 4]), manifest, POLICY, opens, options)}
    assert found[0].answer is not None
    assert str(found[1].error) == "reading failed with ZeroDivisionError: by a decoder; leave the video out"
    assert "ValueError" in str(found[2].error)


def test_closing_ends_all_reading(tiny_bundle: Bundle) -> None:
    manifest, begun, freed = tiny_bundle.manifest, threading.Event(), threading.Event()

    class Slow(ScriptedReader):
        def read(self, step: int, out: object = None) -> object:
            if self.clip == 1:
                begun.set()
                assert freed.wait(10), "close() has to reach a read that is under way"
                raise FrameError("closed")
            return super().read(step, out)

        def close(self) -> None:
            super().close()
            freed.set()

    readers = [partial(Slow, manifest, clip) for clip in range(40)]
    found = stream(ScriptedEngine(manifest, [1] * 40), manifest, POLICY, readers, StreamOptions("inflight", 1, 1))
    assert next(found).clip == 0
    assert begun.wait(10)
    found.close()
    assert freed.is_set()
    deadline = time.monotonic() + 10
    while any(thread.name.startswith("vbench-reader") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a reading thread stayed"
        time.sleep(0.01)


def test_one_clip_raises_its_error(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    with pytest.raises(FrameError, match="broken as told"):
        run_clip(ScriptedEngine(manifest, [9]), manifest, POLICY, partial(ScriptedReader, manifest, 0, 3))


@pytest.fixture(scope="module", params=["ort", "torch"])
def network(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> FrameExitNetwork:
    return vbench.load(tiny_bundle.path, request.param)


def test_a_real_bundle(network: FrameExitNetwork) -> None:
    """Order, slots and schedule never change an exit step, a class, or a logit by more than 1e-5."""
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 20 * (seed % 12) + 30, (10, 40, 52, 3), dtype=np.uint8) for seed in range(24)]
    wanted = [network.predict(clip) for clip in clips]
    assert len({found.exit_step for found in wanted}) > 1
    names = ("lockstep", "compact", "inflight")
    late = (replace(LATENCY, sync="late"), *(StreamOptions(name, 3, 1, sync="late") for name in names))
    for options in (LATENCY, THROUGHPUT, *(StreamOptions(name, 3, 1) for name in names), *late):
        for order in (range(24), range(23, -1, -1), rng.permutation(24)):
            for result in network.stream([clips[place] for place in order], options):
                alone, found = wanted[order[result.clip]], result.prediction
                assert found is not None
                assert (found.exit_step, found.label, found.macs) == (alone.exit_step, alone.label, alone.macs)
                np.testing.assert_allclose(found.logits, alone.logits, rtol=0, atol=1e-5 * abs(alone.logits).max())
                if network.engine.name == "ort":
                    np.testing.assert_array_equal(found.logits, alone.logits)


def test_modes() -> None:
    assert stream_options("latency", None, None, 1, 1) == LATENCY == StreamOptions("sequential", 1, 1, 1)
    assert stream_options("throughput", None, None, 1, 1) == THROUGHPUT == StreamOptions("inflight", 8, 1, 1)
    assert stream_options("throughput", "compact", 5, 0, 2) == StreamOptions("compact", 5, 0, 2)
    assert stream_options("latency", None, None, 1, 1, "late") == replace(LATENCY, sync="late")
    for wrong, message in (
        (("fast", None, None, 1, 1), "^no mode 'fast'; choose one of latency, throughput"),
        (("throughput", "fast", None, 1, 1), "^no schedule 'fast'"),
        (("latency", None, 4, 1, 1), "^sequential runs in 1 slot"),
        (("throughput", None, None, -1, 1), "^cannot read -1 frames ahead"),
        (("throughput", None, None, 1, 0), "^0 workers read nothing"),
        (("throughput", None, None, 1, 1, "soon"), "^no sync 'soon'; choose one of step, late$"),
        (("latency", None, None, 0, 1, "late"), "^--sync late starts frames that were read ahead; give --prefetch 1"),
    ):
        with pytest.raises(UsageError, match=message):
            stream_options(*wrong)
