"""Threads for code that may never return: decoders, and the user's own functions and sources.

Nothing can interrupt a decoder that spins, so a read runs in a daemon thread, and the thread that waits for it gives up
once the read has made no progress for `STALL_LIMIT_S`. The reading thread is then abandoned and replaced: it may keep
running until the process ends, but does not delay the exit. A read that makes progress is never abandoned, however long
it takes, because the amount of work is bounded by the size of the file. Time spent in a queue, or while the process is
stopped, does not count.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from ...errors import FrameError
from ..video.progress import Progress, observe

STALL_LIMIT_S = 30.0
POLL_S = 0.25
_EXIT_LIMIT_S = 2.0
_CLOSE_LIMIT_S = 0.5

T = TypeVar("T")


class ReadTask(NamedTuple):
    """A task of a reader thread.

    Attributes:
        run: executed by the thread; must not raise an exception.
        give_up: called by the waiting thread, with the clip's error, if the task is abandoned.
    """

    run: Callable[[], None]
    give_up: Callable[[FrameError], None]


class ReaderThreads:
    """Executes tasks on up to ``count`` daemon threads, in order of submission. Thread-safe."""

    def __init__(self, count: int, name: str = "vbench-reader") -> None:
        self._pool = _Pool(count, name)
        self._end = weakref.finalize(self, self._pool.tasks.put, None)

    def submit(self, task: ReadTask) -> None:
        """Execute a task in the background, or do nothing after `close`."""
        if self._end.alive:
            self._pool.submit(task)

    def check(self) -> None:
        """Abandon stalled tasks; every thread that waits for a task calls this at least once a second."""
        for running in self._pool.stalled():
            reason = f"reading has made no progress for {STALL_LIMIT_S:g} seconds"
            running.task.give_up(FrameError(reason, "exclude the video, or copy it to a faster disk"))

    def close(self) -> None:
        """Discard the tasks that have not started, and end the threads after their current tasks.

        Wait briefly for the current tasks, because they use the engine, which may be released next.
        """
        self._pool.discard()
        self._end()
        self._pool.join(_CLOSE_LIMIT_S)


class _Running:
    def __init__(self, task: ReadTask) -> None:
        self.task, self.progress, self.thread = task, Progress(), threading.current_thread()
        self.seen, self.stalled_s, self.abandoned = 0, 0.0, False


class _Pool:
    """State shared with the threads, which do not reference `ReaderThreads`, so that it can be garbage-collected."""

    def __init__(self, count: int, name: str) -> None:
        self.tasks: SimpleQueue[ReadTask | None] = SimpleQueue()
        self.running: set[_Running] = set()
        self._threads: set[threading.Thread] = set()
        self._count, self._name, self._started = count, name, 0
        self._lock = threading.Lock()
        self._checked_s = time.monotonic()
        _pools.add(self)

    def submit(self, task: ReadTask) -> None:
        self.tasks.put(task)
        with self._lock:
            if self._started < self._count:
                self._started += 1
                self._start()

    def stalled(self) -> list[_Running]:
        """Return the tasks that have stalled since the last call, and replace their threads."""
        with self._lock:
            now_s = time.monotonic()
            # count no more than a waiting thread sleeps, so that no task is abandoned because the process was stopped
            elapsed_s, self._checked_s = min(now_s - self._checked_s, 2 * POLL_S), now_s
            stalled = [running for running in self.running if _has_stalled(running, elapsed_s)]
            for running in stalled:
                running.abandoned = True
                self.running.remove(running)
                self._threads.discard(running.thread)  # nothing is waiting for it anymore
                self._start()
            return stalled

    def discard(self) -> None:
        while not self.tasks.empty():
            self.tasks.get()

    def join(self, limit_s: float) -> None:
        """Wait until the threads have ended, for at most ``limit_s``."""
        end_s = time.monotonic() + limit_s
        for thread in self._threads.copy() - {threading.current_thread()}:
            thread.join(max(0.0, end_s - time.monotonic()))

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        try:
            self._run_tasks()
        finally:
            self._threads.discard(threading.current_thread())

    def _run_tasks(self) -> None:
        while (task := self.tasks.get()) is not None:
            running = _Running(task)
            _local.running = running
            observe(running.progress)
            with self._lock:
                self.running.add(running)
            task.run()
            with self._lock:
                self.running.discard(running)
            if running.abandoned:
                return
            del task, running, _local.running  # so that an idle thread keeps no clip in memory
        self.tasks.put(None)  # wake the other threads


def _has_stalled(running: _Running, elapsed_s: float) -> bool:
    """Add ``elapsed_s`` to the task's time without progress; return whether it has stalled."""
    advanced = running.progress.count != running.seen
    running.seen = running.progress.count
    running.stalled_s = 0.0 if advanced else running.stalled_s + elapsed_s
    return running.stalled_s > STALL_LIMIT_S


_pools: weakref.WeakSet[_Pool] = weakref.WeakSet()
_local = threading.local()


def is_abandoned() -> bool:
    """Return whether the current thread is executing an abandoned task."""
    running: _Running | None = getattr(_local, "running", None)
    return running is not None and running.abandoned


def call_bounded(function: Callable[[], T]) -> T:
    """Return ``function()``, executed in a thread that is abandoned if it makes no progress.

    In a reader thread, the function is called directly, since whichever thread waits for the reader checks its
    progress.

    Raises:
        FrameError: the call stalled, or raised an exception that would end the program, such as SystemExit.
        Exception: any other exception that the function raises.
    """
    if getattr(_local, "running", None) is not None:
        return function()
    call = _Call(function)
    threads = _threads_of_caller()
    threads.submit(ReadTask(call.run, call.give_up))
    try:
        while not call.done.wait(POLL_S):
            threads.check()
    except BaseException:  # interrupted: the thread may be busy with this call indefinitely
        _local.threads = None
        raise
    return call.result()


def read_failure(error: BaseException) -> FrameError:
    """Return the error for a clip whose code raised an exception."""
    return FrameError(f"reading failed with {type(error).__name__}: {error}", "exclude the video")


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._function = function
        self._values: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._values.append(self._function())
        except BaseException as error:  # from the clip's code: Ctrl-C is raised in the main thread
            self._error = error
        self.done.set()

    def give_up(self, error: FrameError) -> None:
        self._error = error
        self.done.set()

    def result(self) -> T:
        if self._error is None:
            return self._values[0]
        if isinstance(self._error, Exception):
            raise self._error
        raise read_failure(self._error) from self._error


def _threads_of_caller() -> ReaderThreads:
    """Return the worker thread for calls from this thread; worker threads do not survive a fork."""
    threads: ReaderThreads | None = getattr(_local, "threads", None)
    if threads is None or _local.process != os.getpid():
        threads = _local.threads = ReaderThreads(1, "vbench-call")
        _local.process = os.getpid()
    return threads


@atexit.register
def _wait_for_reads() -> None:
    """Wait for reads in progress to end, because native code may crash if it runs during interpreter shutdown."""
    limit_s = time.monotonic() + _EXIT_LIMIT_S
    while any(pool.running for pool in _pools) and time.monotonic() < limit_s:
        time.sleep(0.01)
