"""Streams of clips: predictions are independent of the schedule, the slots, the order of clips and the threads."""

from __future__ import annotations

import gc
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
from tests.scripted import ScriptedEngine, ScriptedReader, macs, open_stream, stream
from vbench.errors import FrameError, OverloadError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.engines.base import Handle
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler import options as options_module
from vbench.runtime.scheduler.options import LATENCY, THROUGHPUT, StreamOptions
from vbench.runtime.scheduler.program import StepProgram
from vbench.runtime.scheduler.results import ClipResult

POLICY = FrameExitPolicy(0.95)
OPTIONS = st.builds(
    StreamOptions,
    schedule=st.sampled_from(["lockstep", "compact", "inflight"]),
    slots=st.integers(1, 6),
    prefetch=st.integers(0, 3),
    workers=st.integers(1, 3),
) | st.builds(StreamOptions, prefetch=st.integers(0, 3))
SPECULATIVE_OPTIONS = st.builds(
    StreamOptions,
    schedule=st.sampled_from(["lockstep", "compact", "inflight"]),
    slots=st.integers(1, 6),
    prefetch=st.integers(1, 3),
    workers=st.integers(1, 3),
    sync=st.just("speculative"),
) | st.builds(StreamOptions, prefetch=st.integers(1, 3), sync=st.just("speculative"))
several_bundles_are_the_same = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def run(
    manifest: Manifest, exits: list[int], options: StreamOptions, broken: dict[int, int] | None = None
) -> tuple[list[ClipResult], list[ScriptedReader], ScriptedEngine]:
    engine = ScriptedEngine(manifest, exits)
    readers = [ScriptedReader(manifest, clip, (broken or {}).get(clip)) for clip in range(len(exits))]
    opens = [partial(lambda reader: reader, reader) for reader in readers]
    return list(stream(engine, manifest, POLICY, opens, options)), readers, engine


@several_bundles_are_the_same
@given(
    st.lists(st.integers(1, 10), max_size=14),
    OPTIONS | SPECULATIVE_OPTIONS,
    st.dictionaries(st.integers(0, 13), st.integers(1, 10), max_size=4),
)
def test_every_schedule_gives_the_same_predictions(
    tiny_bundle: Bundle, exits: list[int], options: StreamOptions, broken: dict[int, int]
) -> None:
    manifest = tiny_bundle.manifest
    outcomes, readers, engine = run(manifest, exits, options, broken)
    assert sorted(outcome.clip for outcome in outcomes) == list(range(len(exits))), "every clip must have one result"
    for outcome in outcomes:
        clip, reader = outcome.clip, readers[outcome.clip]
        if broken.get(clip, 99) <= exits[clip]:
            assert outcome.prediction is None
            assert str(outcome.error) == "scripted failure"
            continue
        assert outcome.error is None
        assert outcome.prediction is not None
        assert outcome.prediction.exit_step == exits[clip]
        np.testing.assert_array_equal(outcome.prediction.logits, engine.logits(clip, exits[clip]).astype(np.float32))
        assert len(outcome.scores) == min(exits[clip], 9)
        used = exits[clip]
        assert reader.steps == list(range(1, len(reader.steps) + 1)), "frames must be read once, in order"
        ahead = options.prefetch + (options.sync == "speculative")
        assert used <= len(reader.steps) <= min(used + ahead, 10)
        assert outcome.cost.macs == expected_macs(manifest, used)
        assert reader.closed


def expected_macs(manifest: Manifest, steps: int) -> int:
    classifiers = 1 if steps == 1 else 2  # at the first step and at the last
    calls = {"backbone": steps, "accumulator": steps, "gates": min(steps, 9) - 1, "classifiers": classifiers}
    return macs(manifest, calls)


@several_bundles_are_the_same
@given(st.lists(st.integers(1, 10), min_size=1, max_size=14), OPTIONS)
def test_parts_run_no_more_than_needed(tiny_bundle: Bundle, exits: list[int], options: StreamOptions) -> None:
    outcomes, _, engine = run(tiny_bundle.manifest, exits, options)
    rows: Counter[str] = Counter()
    for part, count in engine.calls:
        rows[part] += count
    assert rows["gates"] == sum(min(last, 9) - 1 for last in exits)
    assert rows["classifiers"] == sum(1 if last == 1 else 2 for last in exits)
    idle = rows["backbone"] - sum(exits)
    assert idle == 0 or options.schedule == "lockstep"
    row_macs = macs(tiny_bundle.manifest, {"backbone": 1, "accumulator": 1})
    assert sum(outcome.cost.macs_wasted for outcome in outcomes) == pytest.approx(idle * row_macs)


class Clock:
    """Advances by one second per call."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("schedule", ["lockstep", "compact", "inflight"])
def test_all_time_is_accounted_for(tiny_bundle: Bundle, schedule: str) -> None:
    manifest, exits, clock = tiny_bundle.manifest, [3, 1, 10, 4, 2], Clock()
    readers = [partial(ScriptedReader, manifest, clip) for clip in range(5)]
    options = StreamOptions(schedule, slots=2)
    outcomes = list(stream(ScriptedEngine(manifest, exits), manifest, POLICY, readers, options, clock))
    costs = [outcome.cost for outcome in outcomes]
    split = sum(cost.wait_s + cost.backbone_s + cost.head_s + cost.scheduling_s for cost in costs)
    elapsed = sum(cost.elapsed_s for cost in costs)
    assert 0 <= elapsed - split <= 3, "only time after the last tick may be missing"
    assert elapsed == clock.now - 1
    assert all(cost.latency_s > 0 and cost.backbone_s > 0 and cost.wait_s > 0 for cost in costs)


def test_memory_does_not_grow_with_the_clips(tiny_bundle: Bundle) -> None:
    """Only the clips in slots and the next waiting ones are open, regardless of the number of clips."""
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
    results = stream(ScriptedEngine(manifest, exits), manifest, POLICY, clips(), StreamOptions("inflight", 4, 1))
    assert sum(1 for _ in results) == 300
    assert most <= 9
    assert open_now == 0


@pytest.mark.parametrize("prefetch", [0, 1])
def test_a_decoder_may_raise_anything(tiny_bundle: Bundle, prefetch: int) -> None:
    manifest = tiny_bundle.manifest
    readers = [ScriptedReader(manifest, 0), ScriptedReader(manifest, 1, 2, ZeroDivisionError("by a decoder"))]
    opens = [*(partial(lambda reader: reader, reader) for reader in readers), partial(int, "no number")]
    options = StreamOptions("inflight", 3, prefetch)
    stream_results = stream(ScriptedEngine(manifest, [4, 4]), manifest, POLICY, opens, options)
    results = {result.clip: result for result in stream_results}
    assert results[0].prediction is not None
    assert str(results[1].error) == "reading failed with ZeroDivisionError: by a decoder; exclude the video"
    assert "ValueError" in str(results[2].error)


def test_closing_stops_all_reading(tiny_bundle: Bundle) -> None:
    manifest, begun, freed = tiny_bundle.manifest, threading.Event(), threading.Event()

    class Slow(ScriptedReader):
        def read(self, step: int, out: object = None) -> object:
            if self.clip == 1:
                begun.set()
                assert freed.wait(10), "close() must interrupt a read in progress"
                raise FrameError("closed")
            return super().read(step, out)

        def close(self) -> None:
            super().close()
            freed.set()

    readers = [partial(Slow, manifest, clip) for clip in range(40)]
    results = stream(ScriptedEngine(manifest, [1] * 40), manifest, POLICY, readers, StreamOptions("inflight", 1, 1))
    assert next(results).clip == 0
    assert begun.wait(10)
    results.close()
    assert freed.is_set()
    deadline = time.monotonic() + 10
    while any(thread.name.startswith("vbench-reader") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a reader thread did not end"
        time.sleep(0.01)


def test_unwrap_raises_the_error_of_a_clip(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    reader = partial(ScriptedReader, manifest, 0, 3)
    (result,) = stream(ScriptedEngine(manifest, [9]), manifest, POLICY, [reader], StreamOptions())
    with pytest.raises(FrameError, match="scripted failure"):
        result.unwrap()


@pytest.fixture(scope="module", params=["ort", "torch"])
def network(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> Network:
    return vbench.load(tiny_bundle.path, request.param)


def test_a_real_bundle(network: Network) -> None:
    """Order, slots and schedule never change an exit step, a class, or a logit by more than 1e-5."""
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 20 * (seed % 12) + 30, (10, 40, 52, 3), dtype=np.uint8) for seed in range(24)]
    expected = [network.predict(clip) for clip in clips]
    assert len({prediction.exit_step for prediction in expected}) > 1
    names = ("lockstep", "compact", "inflight")
    ahead = (replace(LATENCY, sync="speculative"), *(StreamOptions(name, 3, 1, sync="speculative") for name in names))
    for options in (LATENCY, THROUGHPUT, *(StreamOptions(name, 3, 1) for name in names), *ahead):
        for order in (range(24), range(23, -1, -1), rng.permutation(24)):
            for result in network.stream([clips[place] for place in order], options):
                alone, actual = expected[order[result.clip]], result.prediction
                assert actual is not None
                assert (actual.exit_step, actual.label, actual.macs) == (alone.exit_step, alone.label, alone.macs)
                np.testing.assert_allclose(actual.logits, alone.logits, rtol=0, atol=1e-5 * abs(alone.logits).max())
                if network.engine.name == "ort":
                    np.testing.assert_array_equal(actual.logits, alone.logits)


def test_a_stream_releases_its_memory_at_once(network: Network) -> None:
    """Memory is freed without the garbage collector, so that on a GPU the next stream can reuse its CUDA graphs."""
    gc.collect()
    gc.disable()
    try:
        network.predict(np.zeros((10, 3, 32, 32), np.float32))
        list(network.stream([np.zeros((10, 3, 32, 32), np.float32)] * 3, THROUGHPUT))
        assert not [each for each in gc.get_objects() if issubclass(type(each), StepProgram)]
    finally:
        gc.enable()


def test_modes() -> None:
    assert StreamOptions(prefetch=1) == LATENCY == StreamOptions("sequential", 1, 1, 1)
    workers = THROUGHPUT.workers  # by default as many as the CPUs, which tests restrict after the import
    assert replace(StreamOptions(mode="throughput", prefetch=1, workers=workers), mode="latency") == THROUGHPUT
    assert StreamOptions("inflight", 8, 1, workers) == THROUGHPUT
    assert StreamOptions("compact").slots == 8
    for wrong, message in (
        ({"mode": "fast"}, "^unknown mode 'fast'; choose one of latency, throughput"),
        ({"schedule": "fast"}, "^unknown schedule 'fast'"),
        ({"slots": 4}, "^the sequential schedule requires 1 slot"),
        ({"prefetch": -1}, "^--prefetch must be 0 or more, got -1"),
        ({"workers": 0}, "^--workers must be 1 or more, got 0"),
        ({"sync": "soon"}, "^unknown --sync value 'soon'; choose one of step, speculative$"),
        ({"sync": "speculative"}, "^--sync speculative requires prefetched frames; set --prefetch to 1 or more"),
    ):
        with pytest.raises(UsageError, match=message):
            StreamOptions(**wrong).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "slots", "workers"), [("sequential", None, 1), ("inflight", 4, 4), ("lockstep", None, 6)]
)
def test_number_of_reader_threads(
    monkeypatch: pytest.MonkeyPatch, schedule: str, slots: int | None, workers: int
) -> None:
    monkeypatch.setattr(options_module, "usable_cpus", lambda: 6)
    chosen = StreamOptions(schedule, slots)  # type: ignore[arg-type]
    assert chosen.workers == workers
    assert StreamOptions(schedule, slots, workers=2).workers == 2  # type: ignore[arg-type]
    assert StreamOptions.from_record(chosen.record()) == chosen


def test_submitted_clips_are_read_while_all_slots_are_occupied(tiny_bundle: Bundle) -> None:
    manifest, is_open = tiny_bundle.manifest, threading.Event()
    running = open_stream(
        ScriptedEngine(manifest, [9, 1]), manifest, POLICY, StreamOptions("inflight", 1, 1, workers=2)
    )

    def second() -> ScriptedReader:
        is_open.set()
        return ScriptedReader(manifest, 1)

    class First(ScriptedReader):
        def read(self, step: int, out: Handle | None = None) -> Handle:
            if step == 2:
                running.submit(second)
            assert step < 6 or is_open.wait(10), "the second clip must be opened before the first one ends"
            return super().read(step, out)

    running.submit(lambda: First(manifest, 0))
    results = running.results()
    assert [next(results).unwrap().exit_step for _ in range(2)] == [9, 1]
    running.close()


def test_clips_are_admitted_while_others_run(tiny_bundle: Bundle) -> None:
    """A clip submitted after the first one has ended runs together with the second, and nothing runs twice."""
    manifest = tiny_bundle.manifest
    engine = ScriptedEngine(manifest, [1, 9, 3])
    running = open_stream(engine, manifest, POLICY, StreamOptions("inflight", 2))
    numbers = [running.submit(partial(ScriptedReader, manifest, clip)) for clip in range(2)]
    results = running.results()
    order = [next(results).clip]
    numbers.append(running.submit(partial(ScriptedReader, manifest, 2)))
    running.finish()
    order += [result.clip for result in results]
    assert numbers == [0, 1, 2]
    assert order == [0, 2, 1], "the later clip must end first, in the slot that became free"
    assert sum(rows for part, rows in engine.calls if part == "backbone") == 1 + 9 + 3


@pytest.mark.parametrize("options", [StreamOptions("inflight", 3, 1, 2), StreamOptions(), StreamOptions("lockstep", 4)])
def test_many_threads_submit(tiny_bundle: Bundle, options: StreamOptions) -> None:
    """Every clip submitted by any thread has exactly one result."""
    manifest = tiny_bundle.manifest
    exits = [1 + clip % 10 for clip in range(60)]
    running = open_stream(ScriptedEngine(manifest, exits), manifest, POLICY, options)
    names: dict[int, int] = {}

    def submit(clips: range) -> None:
        for clip in clips:
            names[running.submit(partial(ScriptedReader, manifest, clip))] = clip
            time.sleep(0.0005 * (clip % 4))

    threads = [threading.Thread(target=submit, args=(range(first, 60, 4),)) for first in range(4)]

    def finish() -> None:
        for thread in threads:
            thread.join()
        running.finish()

    for thread in (*threads, waiting := threading.Thread(target=finish)):
        thread.start()
    steps = {result.clip: result.unwrap().exit_step for result in running.results()}
    waiting.join()
    running.close()
    assert {names[number]: step for number, step in steps.items()} == dict(enumerate(exits))
    assert len(steps) == 60


def test_results_wait_for_submissions_and_idle_time_belongs_to_no_clip(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    running = open_stream(ScriptedEngine(manifest, [2, 2]), manifest, POLICY, StreamOptions())
    running.submit(partial(ScriptedReader, manifest, 0))
    results = running.results()
    assert next(results).clip == 0

    def later() -> None:
        running.submit(partial(ScriptedReader, manifest, 1))
        running.finish()

    timer = threading.Timer(0.5, later)
    timer.start()
    (second,) = results
    assert second.unwrap().exit_step == 2
    assert second.cost.elapsed_s < 0.4, "the idle half second must not be counted"


class SetClock:
    """A clock that stands still unless it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("schedule", ["sequential", "lockstep", "compact", "inflight"])
@pytest.mark.parametrize("prefetch", [0, 1])
def test_a_clip_waits_for_a_slot_no_longer_than_permitted(tiny_bundle: Bundle, schedule: str, prefetch: int) -> None:
    """Rejected clips take no slot; clips that have waited exactly as long as permitted, or have a slot, run."""
    manifest, clock = tiny_bundle.manifest, SetClock()
    engine = ScriptedEngine(manifest, [2, 1, 1, 1, 1])
    options = StreamOptions(schedule, 1, prefetch, max_wait_s=1.0)
    running = open_stream(engine, manifest, POLICY, options, clock=clock)
    readers = [ScriptedReader(manifest, clip) for clip in range(5)]

    def submit(clip: int) -> None:
        running.submit(partial(lambda reader: reader, readers[clip]))

    submit(0)
    submit(1)
    results = running.results()
    assert next(results).unwrap().exit_step == 2
    submit(2)
    submit(3)
    clock.now = 1.0
    assert next(results).unwrap().exit_step == 1
    submit(4)
    clock.now = 1.5
    running.finish()
    ended = {result.clip: result for result in results}
    running.close()
    message = "the clip was rejected after waiting more than 1000 ms for a slot; submit clips less often"
    for clip in (2, 3):
        assert isinstance(ended[clip].error, OverloadError)
        assert str(ended[clip].error).startswith(message)
    assert ended[4].unwrap().exit_step == 1
    assert sum(rows for part, rows in engine.calls if part == "backbone") == 2 + 1 + 1
    assert not any(reader.steps and not reader.closed for reader in readers)


def test_rejections_are_reported_although_nothing_runs(tiny_bundle: Bundle) -> None:
    manifest, clock = tiny_bundle.manifest, SetClock()
    options = StreamOptions("inflight", 2, 1, max_wait_s=1.0)
    running = open_stream(ScriptedEngine(manifest, [1, 1]), manifest, POLICY, options, clock=clock)
    for clip in range(2):
        running.submit(partial(ScriptedReader, manifest, clip))
    clock.now = 2.0
    results = running.results()
    assert [next(results).clip, next(results).clip] == [0, 1], "without waiting for another clip"
    running.finish()
    assert list(results) == []


def test_clips_of_an_iterable_are_never_rejected(tiny_bundle: Bundle) -> None:
    clock = iter(range(0, 10**6, 100)).__next__
    manifest, options = tiny_bundle.manifest, StreamOptions("inflight", 2, 1, max_wait_s=1.0)
    readers = [partial(ScriptedReader, manifest, clip) for clip in range(5)]
    results = stream(ScriptedEngine(manifest, [2] * 5), manifest, POLICY, readers, options, clock)
    assert all(result.error is None for result in results)


def test_submitting_after_finish_is_an_error(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    running = open_stream(ScriptedEngine(manifest, [1]), manifest, POLICY, StreamOptions())
    running.finish()
    assert list(running.results()) == []
    with pytest.raises(RuntimeError, match="clips cannot be submitted after"):
        running.submit(partial(ScriptedReader, manifest, 0))


def test_results_belong_to_one_thread(tiny_bundle: Bundle) -> None:
    """This also restricts the stream's program and scheduler to that thread."""
    manifest = tiny_bundle.manifest
    running = open_stream(ScriptedEngine(manifest, [1, 1]), manifest, POLICY, StreamOptions())
    for clip in range(2):
        running.submit(partial(ScriptedReader, manifest, clip))
    running.finish()
    next(running.results())
    errors: list[Exception] = []

    def take() -> None:
        try:
            next(running.results())
        except Exception as error:
            errors.append(error)

    other = threading.Thread(target=take)
    other.start()
    other.join()
    assert [type(error) for error in errors] == [UsageError]
    assert [result.clip for result in running.results()] == [1]
