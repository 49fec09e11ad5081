"""Run clips on several replicas of an engine at once.

With many cores, an engine's threads wait for one another in every layer. Replicas with a share of the cores each have
fewer threads that wait, at the price of a copy of the weights per replica. Each replica runs its own stream, on its own
thread, and takes its next clip from the common iterable, so that no replica idles while clips are waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from queue import Empty, Queue
from typing import NamedTuple

from ..scheduler.active_clip import Clock
from ..scheduler.results import ClipResult
from ..scheduler.stream import ClipStream

OpenStream = Callable[[Iterable[object]], ClipStream]
_RESULTS_PER_REPLICA = 4  # results that may wait for the caller before the replicas pause
_POLL_S = 0.05
_STOP_LIMIT_S = 30.0  # longer than any tick
_TAKE_LIMIT_S = 0.5


def replica_results(
    streams: Sequence[OpenStream], clips: Iterable[object], clock: Clock
) -> Generator[ClipResult, None, None]:
    """Yield the result of every clip, in order of completion, with its number in ``clips``.

    Args:
        streams: one function per replica, which opens its stream for the given clips.
        clips: iterated over by the replicas' threads, one at a time.
        clock: seconds, for the time between results.

    Raises:
        BaseException: any exception of a stream or of the iterable, after which the other replicas end.
    """
    running = _Replicas(streams, clips)
    last_s = clock()
    try:
        for result in running.results():
            now_s = clock()
            yield _with_shared_time(result, len(streams), now_s - last_s)
            last_s = now_s
    finally:
        running.stop()


class _Ended(NamedTuple):
    """The end of a replica's stream, and the exception that ended it, if any."""

    error: BaseException | None


class _Replicas:
    def __init__(self, streams: Sequence[OpenStream], clips: Iterable[object]) -> None:
        self._shared = _SharedClips(clips)
        self._results: Queue[ClipResult | _Ended] = Queue(_RESULTS_PER_REPLICA * len(streams))
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(open_stream,), name="vbench-replica", daemon=True)
            for open_stream in streams
        ]
        for thread in self._threads:
            thread.start()

    def results(self) -> Iterator[ClipResult]:
        running = len(self._threads)
        while running:
            result = self._results.get()
            if isinstance(result, ClipResult):
                yield result
                continue
            if result.error is not None:
                raise result.error
            running -= 1

    def stop(self) -> None:
        """End all streams after their current tick, and wait for their threads, unless one makes no progress."""
        self._stopped.set()
        self._shared.stop()
        now_s = time.monotonic()
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < now_s + self._limit_s(thread):
                self._discard()  # so that no thread waits for room
                thread.join(_POLL_S)

    def _limit_s(self, thread: threading.Thread) -> float:
        """Return how long to wait for a thread: not for the caller's iterable, which may never return."""
        return _TAKE_LIMIT_S if self._shared.taking is thread else _STOP_LIMIT_S

    def _work(self, open_stream: OpenStream) -> None:
        error = None
        try:
            self._run(open_stream)
        except BaseException as raised:  # raised again in the caller's thread
            error = raised
        self._results.put(_Ended(error))

    def _run(self, open_stream: OpenStream) -> None:
        numbers: dict[int, int] = {}
        with closing(open_stream(self._shared.take(numbers))) as stream:
            stream.finish()
            for result in stream.results():
                if self._stopped.is_set():
                    return
                self._results.put(replace(result, clip=numbers.pop(result.clip)))

    def _discard(self) -> None:
        try:
            while True:
                self._results.get_nowait()
        except Empty:
            pass


class _SharedClips:
    """An iterable that several threads iterate over together: each clip goes to one of them."""

    def __init__(self, clips: Iterable[object]) -> None:
        self._clips, self._lock, self._count, self._stopped = iter(clips), threading.Lock(), 0, False
        self.taking: threading.Thread | None = None  # the thread that is waiting for the iterable

    def take(self, numbers: dict[int, int]) -> Iterator[object]:
        """Yield the clips that the calling thread gets, and store the number of each by its place among them."""
        for place in count():
            while not self._lock.acquire(timeout=_POLL_S):
                if self._stopped:
                    return
            try:
                if self._stopped:
                    return
                self.taking = threading.current_thread()
                clip = next(self._clips)
                numbers[place] = self._count
                self._count += 1
            except StopIteration:
                self._stopped = True
                return
            finally:
                self.taking = None
                self._lock.release()
            yield clip

    def stop(self) -> None:
        """Yield no more clips."""
        self._stopped = True


def _with_shared_time(result: ClipResult, replicas: int, elapsed_s: float) -> ClipResult:
    """Return the result with times that add up to the wall-clock time although replicas run at the same time."""
    cost = replace(
        result.cost,
        elapsed_s=elapsed_s,
        wait_s=result.cost.wait_s / replicas,
        backbone_s=result.cost.backbone_s / replicas,
        head_s=result.cost.head_s / replicas,
        scheduling_s=result.cost.scheduling_s / replicas,
    )
    steps = tuple(step._replace(elapsed_s=step.elapsed_s / replicas) for step in result.steps)
    return replace(result, cost=cost, steps=steps)
