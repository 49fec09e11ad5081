"""Clips whose code hangs or raises an exception that ends a program: each has an error, and the others their result."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

import vbench
from tests.scripted import ScriptedEngine, ScriptedReader, stream
from vbench.errors import FrameError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.inputs import reader_threads
from vbench.runtime.inputs.reader_threads import ReaderThreads, ReadTask, call_bounded
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipResult
from vbench.runtime.video.progress import note_progress
from vbench.runtime.video.source import ArrayFrames

ONE_BY_ONE, AHEAD, MANY = StreamOptions(), StreamOptions(prefetch=1), StreamOptions("inflight", 4, 1, 2)
OPTIONS = pytest.mark.parametrize("options", [ONE_BY_ONE, AHEAD, MANY], ids=["on request", "ahead", "in flight"])
FRAMES = np.full((10, 40, 52, 3), 60, np.uint8)


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_threads, "STALL_LIMIT_S", 0.3)
    monkeypatch.setattr(reader_threads, "POLL_S", 0.05)


@pytest.fixture(scope="module")
def network(tiny_bundle: Bundle) -> Network:
    return vbench.load(tiny_bundle.path, "ort")


class Source:
    """Frames of which one operation waits for ``released``."""

    def __init__(self, waits: str, released: threading.Event) -> None:
        self._frames, self._waits, self._released = ArrayFrames(FRAMES), waits, released
        self.frames_decoded = 0

    def __len__(self) -> int:
        self._perhaps_wait("len")
        return len(self._frames)

    def expect(self, positions: object) -> None:  # noqa: ARG002
        self._perhaps_wait("expect")

    def read(self, position: int) -> NDArray[np.uint8]:
        self._perhaps_wait("read")
        return self._frames.read(position)

    def close(self) -> None:
        self._perhaps_wait("close")

    def _perhaps_wait(self, operation: str) -> None:
        if operation == self._waits:
            self._released.wait(60)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def check_error(results: list[ClipResult], clip: int, message: str) -> None:
    """Check that this clip has an error, and all others a prediction."""
    assert sorted(result.clip for result in results) == list(range(len(results)))
    for result in results:
        if result.clip == clip:
            assert isinstance(result.error, FrameError)
            assert message in str(result.error)
        else:
            assert result.prediction is not None


@OPTIONS
@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, MemoryError])
def test_an_opener_may_raise_anything(network: Network, raised: type[BaseException], options: StreamOptions) -> None:
    def opener() -> ArrayFrames:
        raise raised(3)

    results = list(network.stream([FRAMES, opener, FRAMES], options))
    check_error(results, 1, f"reading failed with {raised.__name__}: 3; exclude the video")


@OPTIONS
def test_a_source_may_raise_anything(network: Network, options: StreamOptions) -> None:
    class Exiting(Source):
        def read(self, position: int) -> NDArray[np.uint8]:  # noqa: ARG002
            sys.exit("no license")

        def close(self) -> None:
            raise ZeroDivisionError

    clips = [FRAMES, partial(Exiting, "", threading.Event()), FRAMES]
    check_error(list(network.stream(clips, options)), 1, "reading failed with SystemExit: no license")


@pytest.mark.parametrize("waits", ["open", "len", "expect", "read"])
@pytest.mark.parametrize("options", [ONE_BY_ONE, MANY], ids=["on request", "in flight"])
def test_a_clip_that_hangs_has_an_error(
    network: Network, waits: str, options: StreamOptions, released: threading.Event
) -> None:
    def opener() -> Source:
        if waits == "open":
            released.wait(60)
        return Source(waits, released)

    results = list(network.stream([FRAMES, opener, FRAMES, FRAMES], options))
    check_error(results, 1, "reading has made no progress for 0.3 seconds")


@OPTIONS
def test_a_source_that_is_never_closed_keeps_its_result(
    network: Network, options: StreamOptions, released: threading.Event
) -> None:
    results = list(network.stream([FRAMES, partial(Source, "close", released), FRAMES], options))
    assert all(result.prediction is not None for result in results)


@OPTIONS
def test_every_clip_hangs(network: Network, options: StreamOptions, released: threading.Event) -> None:
    """Each abandoned thread is replaced, so the clips that wait behind it are read too."""
    results = list(network.stream([partial(Source, "read", released)] * 2, options))
    assert [type(result.error) for result in results] == [FrameError] * 2


def test_closing_a_stream_does_not_wait_for_a_read(network: Network, released: threading.Event) -> None:
    results = network.stream([FRAMES, partial(Source, "read", released), FRAMES], MANY)
    next(iter(results))
    results.close()  # type: ignore[attr-defined]


def test_clips_that_end_with_an_exception(network: Network) -> None:
    def clips() -> Iterator[NDArray[np.uint8]]:
        yield FRAMES
        raise ZeroDivisionError

    for options in (ONE_BY_ONE, AHEAD, MANY):
        with pytest.raises(ZeroDivisionError):
            list(network.stream(clips(), options))


def test_a_late_read_writes_nothing(tiny_bundle: Bundle) -> None:
    """An abandoned read that returns after all must neither be delivered nor leave its reader open."""
    manifest, freed, closed = tiny_bundle.manifest, threading.Event(), threading.Event()

    class Late(ScriptedReader):
        def read(self, step: int, out: object = None) -> object:
            assert freed.wait(60)
            return super().read(step, out)

        def close(self) -> None:
            closed.set()

    readers: list[Callable[[], ScriptedReader]] = [partial(Late, manifest, 0), partial(ScriptedReader, manifest, 1)]
    results = stream(ScriptedEngine(manifest, [3, 3]), manifest, FrameExitPolicy(0.95), readers, AHEAD)
    assert isinstance(next(results).error, FrameError)
    freed.set()
    assert next(results).prediction is not None
    assert closed.wait(10)


def test_a_slow_read_that_advances_is_not_abandoned() -> None:
    pause = threading.Event()

    def slow() -> int:
        for _ in range(8):
            pause.wait(0.1)
            note_progress()
        return 7

    assert call_bounded(slow) == 7


def test_a_task_in_a_queue_is_not_abandoned(released: threading.Event) -> None:
    threads, done, errors = ReaderThreads(1), threading.Event(), []
    threads.submit(ReadTask(lambda: released.wait(60) and None, errors.append))  # type: ignore[func-returns-value]
    threads.submit(ReadTask(done.set, errors.append))
    while not done.wait(0.05):
        threads.check()
    assert len(errors) == 1
    threads.close()
    threads.submit(ReadTask(done.clear, errors.append))
    assert done.is_set(), "nothing is executed after close()"


def test_a_process_ends_although_a_read_hangs() -> None:
    code = (
        "import threading\n"
        "from vbench.runtime.inputs import reader_threads as r\n"
        "r.STALL_LIMIT_S = 0.3\n"
        "try:\n"
        "    r.call_bounded(threading.Event().wait)\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "no progress for 0.3 seconds" in ended.stdout
