"""Replicas of an engine: the same answers as one engine, in any number, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vbench.errors import EngineError, FrameError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.numpy_memory import NumpyMemory
from vbench.runtime.inputs.base import NamedClip
from vbench.runtime.load import load
from vbench.runtime.networks import replicas
from vbench.runtime.networks.base import Network
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipResult
from vbench.runtime.video.source import ArrayFrames

CLIPS = 24
OPTIONS = [StreamOptions(), StreamOptions("inflight", 4, 1, 2), StreamOptions("lockstep", 2)]


def clip(number: int) -> np.ndarray:
    """Return a clip; clips exit at different steps."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 32 * (1 + number % 8), (10, 36, 44, 3), dtype=np.uint8)


@pytest.fixture
def network(tiny_bundle: Bundle) -> Network:
    return load(tiny_bundle.path, "ort", first_threshold=0.955, gate_threshold=0.95, threads=1)


@pytest.fixture
def replicated(network: Network) -> Callable[[int], Network]:
    def with_replicas(count: int) -> Network:
        engines = [load_engine("ort", network.bundle, EngineOptions(threads=1)) for _ in range(count - 1)]
        return Network(network.bundle, network.engine, network.policy, replicas=engines)

    return with_replicas


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not replica_threads()


def replica_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vbench-replica"]


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def answers(results: Iterator[ClipResult]) -> list[tuple[int, np.ndarray]]:
    found = sorted(results, key=lambda result: result.clip)
    assert [result.clip for result in found] == list(range(len(found)))
    return [(result.unwrap().exit_step, result.unwrap().logits) for result in found]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.schedule)
@pytest.mark.parametrize("count", [2, 3])
def test_the_answers_of_one_engine(
    network: Network, replicated: Callable[[int], Network], count: int, options: StreamOptions
) -> None:
    clips = [clip(number) for number in range(CLIPS)]
    wanted = answers(network.stream(clips, options))
    assert len({step for step, _ in wanted}) > 2
    for (step, logits), (expected_step, expected) in zip(
        answers(replicated(count).stream(iter(clips), options)), wanted, strict=True
    ):
        assert step == expected_step
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_all_replicas_work(replicated: Callable[[int], Network]) -> None:
    """Each clip waits until two are open, which takes two replicas of one slot each."""
    both = threading.Barrier(2, timeout=30)

    def open_clip(number: int) -> Any:
        both.wait()
        return ArrayFrames(clip(number))

    clips = [NamedClip(str(number), lambda number=number: open_clip(number)) for number in range(6)]
    answers(replicated(2).stream(clips, StreamOptions()))


def test_times_add_up_to_the_wall_clock_time(replicated: Callable[[int], Network]) -> None:
    begin = time.perf_counter()
    results = list(replicated(2).stream([clip(number) for number in range(CLIPS)], StreamOptions()))
    wall_s = time.perf_counter() - begin
    assert 0 < sum(result.cost.elapsed_s for result in results) <= wall_s
    assert sum(step.elapsed_s for result in results for step in result.steps) <= wall_s


def test_a_clip_that_fails_is_one_error(replicated: Callable[[int], Network]) -> None:
    clips = [clip(0), "no/such/video.mp4", clip(1)]
    results = sorted(replicated(2).stream(clips, StreamOptions()), key=lambda result: result.clip)
    assert [type(result.error) for result in results] == [type(None), FrameError, type(None)]


def test_no_clips(replicated: Callable[[int], Network]) -> None:
    assert list(replicated(2).stream([])) == []


def test_an_endless_iterable_is_not_read_ahead(replicated: Callable[[int], Network]) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield clip(taken % 8)

    results = replicated(2).stream(endless(), StreamOptions())
    next(results)
    time.sleep(0.5)  # the replicas go on until their results have no room
    assert taken < 20
    results.close()
    before = taken
    time.sleep(0.1)
    assert taken == before


def test_an_error_of_the_iterable_is_raised(replicated: Callable[[int], Network]) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield clip(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(replicated(2).stream(broken(), StreamOptions()))


def test_an_error_of_a_replica_is_raised(network: Network) -> None:
    class Broken(NumpyMemory):
        name = "broken"

        def describe(self) -> dict[str, str]:
            return {}

        def run(self, part: str, *inputs: Any, out: Any = None) -> Any:
            if part == "preprocess":
                return network.engine.run(part, *inputs, out=out)
            raise EngineError(f"cannot run {part}", "free some memory")

    broken = Network(network.bundle, network.engine, network.policy, replicas=[Broken()])
    with pytest.raises(EngineError, match="cannot run"):
        list(broken.stream([clip(number) for number in range(CLIPS)], StreamOptions()))


def test_an_interrupt_ends_the_replicas(replicated: Callable[[int], Network]) -> None:
    results = replicated(3).stream([clip(number) for number in range(CLIPS)], StreamOptions())
    next(results)
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)


def test_an_iterable_that_never_returns_does_not_block_the_end(
    replicated: Callable[[int], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "_STOP_LIMIT_S", 0.2)
    proceed = threading.Event()

    def blocked() -> Iterator[np.ndarray]:
        yield clip(0)
        proceed.wait()

    results = replicated(2).stream(blocked(), StreamOptions())
    next(results)
    results.close()
    proceed.set()
    wait_until(lambda: not replica_threads())


def test_a_warm_up_runs_every_replica(replicated: Callable[[int], Network]) -> None:
    network = replicated(2)
    used: list[int] = []
    for number, engine in enumerate((network.engine, *network.replicas)):
        run = engine.run

        def counted(part: str, *inputs: Any, number: int = number, run: Any = run, out: Any = None) -> Any:
            used.append(number)
            return run(part, *inputs, out=out)

        engine.run = counted  # type: ignore[method-assign]
    network.warm_up(StreamOptions())
    assert set(used) == {0, 1}
