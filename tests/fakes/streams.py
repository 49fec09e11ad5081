"""Lazy streams: work runs only when it is waited for, in stream order.

Streams are ordered only by events, by host synchronization, or by the default stream. Each stream carries a vector
clock. Two unordered accesses to the same bytes, one of them a write, are a race. It is detected when the second access
is enqueued, even if the results would have been correct.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .memory import LogicError
from .misuse import Misuse

Span = tuple[int, int]  # first byte and one past the last
Clock = dict[int, int]  # by stream handle: the number of its operations that precede

NOT_PERMITTED = "operation not permitted when stream is capturing"
FAILED_BEFORE = "operation failed due to a previous error during capture"


@dataclass(frozen=True)
class Op:
    """Work for a stream, and the memory that it accesses; ``source`` is host memory that must not change."""

    name: str
    run: Callable[[], None]
    reads: tuple[Span, ...] = ()
    writes: tuple[Span, ...] = ()
    source: NDArray[np.generic] | None = None

    def sealed(self) -> Callable[[], None]:
        """Return the work with a check that its source has not changed since."""
        source = self.source
        if source is None:
            return self.run
        before = zlib.crc32(source)

        def run() -> None:
            if zlib.crc32(source) != before:
                raise Misuse("host memory changed", f"the source of {self.name} was written before it was copied")
            self.run()

        return run


@dataclass
class Capture:
    """Work recorded by a capturing stream; ``contexts`` are the TensorRT contexts in it."""

    mode: int
    thread: int
    ops: list[Op] = field(default_factory=list)
    contexts: list[object] = field(default_factory=list)
    invalid: bool = False


@dataclass(eq=False)
class Stream:
    """One queue. A blocking stream and the default stream (handle 0) wait for each other."""

    handle: int
    blocking: bool = True
    live: bool = True
    count: int = 0
    queue: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)
    clock: Clock = field(default_factory=dict)
    capture: Capture | None = None


@dataclass
class Marker:
    """The position of an event in a stream, and the time when it was passed."""

    stream: Stream
    count: int
    clock: Clock
    captured: bool = False
    time_s: float | None = None

    @property
    def passed(self) -> bool:
        return self.time_s is not None


@dataclass(frozen=True)
class _Access:
    span: Span
    writes: bool
    stream: int
    count: int
    name: str


class Streams:
    """All streams of a device. Calls are serialized: each holds the lock while it runs work."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.default = Stream(0)
        self.synchronizations = 0
        self._streams = {0: self.default}
        self._host: Clock = {}
        self._accesses: list[_Access] = []

    def create(self, flags: int) -> Stream:
        """Create a stream; with flag 1 it does not wait for the default stream."""
        with self.lock:
            stream = Stream(0x5000 + 0x10 * len(self._streams), blocking=not flags & 1)
            self._streams[stream.handle] = stream
            return stream

    def find(self, handle: int, what: str) -> Stream:
        """Return the live, non-default stream of a handle."""
        if handle in (0, 1, 2):
            raise Misuse("default stream", f"{what}: it serializes all streams")
        stream = self._streams.get(handle)
        if stream is None or not stream.live:
            raise Misuse("dead stream", f"{what}: {handle:#x} is not a live stream")
        return stream

    def submit(self, stream: Stream, op: Op) -> None:
        """Enqueue work on a stream."""
        with self.lock:
            if stream.capture:
                if stream.capture.invalid:
                    raise LogicError(f"{op.name} failed: {FAILED_BEFORE}")
                stream.capture.ops.append(op)
                return
            self._advance(stream)
            self._check(stream, op)
            stream.queue.append((stream.count, op.sealed()))

    def record(self, stream: Stream) -> Marker:
        """Return a marker after all work enqueued so far."""
        with self.lock:
            marker = Marker(stream, 0, {}, captured=stream.capture is not None)

            def passed() -> None:
                marker.time_s = time.perf_counter()

            self.submit(stream, Op("cuEventRecord", passed))
            marker.count, marker.clock = stream.count, dict(stream.clock)
            return marker

    def wait(self, stream: Stream, marker: Marker) -> None:
        """Order later work of the stream after the marker."""
        with self.lock:
            if marker.captured or stream.capture:
                raise NotImplementedError("the fake cannot fork or join streams inside a capture")
            self.submit(stream, Op("cuStreamWaitEvent", lambda: self._run(marker.stream, marker.count)))
            _merge(stream.clock, marker.clock)

    def synchronize(self, stream: Stream, what: str = "cuStreamSynchronize") -> None:
        """Run a stream's work and order the host after it."""
        with self.lock:
            self.permit(stream, what)
            self.synchronizations += 1
            self._run(stream, stream.count)
            self._learn(stream.clock)

    def synchronize_marker(self, marker: Marker, what: str = "cuEventSynchronize") -> None:
        """Run the work before a marker and order the host after it."""
        with self.lock:
            if marker.captured:
                self._invalidate(marker.stream)
                raise LogicError(f"{what} failed: operation not permitted on an event last recorded in a capture")
            self.synchronizations += 1
            self._run(marker.stream, marker.count)
            self._learn(marker.clock)

    def synchronize_all(self) -> None:
        """Run the work of all streams."""
        with self.lock:
            self.forbid_capture("cuCtxSynchronize")
            for stream in list(self._streams.values()):
                self._run(stream, stream.count)
                self._learn(stream.clock)
            self.synchronizations += 1

    def synchronous(self, op: Op, *, returns_early: bool) -> None:
        """Run work on the default stream, after all blocking streams.

        ``returns_early``: a copy from pageable memory returns before it completes, so the host is not ordered after it.
        """
        with self.lock:
            self.forbid_capture(op.name)
            for stream in self._streams.values():
                if stream.blocking:
                    _merge(self.default.clock, stream.clock)
                    self._run(stream, stream.count)
            self.submit(self.default, op)
            self._run(self.default, self.default.count)
            self.synchronizations += 1
            if not returns_early:
                self._learn(self.default.clock)

    def permit(self, stream: Stream, what: str) -> None:
        """Reject a call that invalidates the capture of a stream."""
        if stream.capture:
            self._invalidate(stream)
            raise LogicError(f"{what} failed: {NOT_PERMITTED}")

    def forbid_capture(self, what: str) -> None:
        """Reject a call that invalidates captures covering this thread (mode 0: all threads, 1: their own, 2: none)."""
        for stream in self._streams.values():
            capture = stream.capture
            if capture and (capture.mode == 0 or (capture.mode == 1 and capture.thread == threading.get_ident())):
                self.permit(stream, what)

    def _invalidate(self, stream: Stream) -> None:
        if stream.capture:
            stream.capture.invalid = True

    def _advance(self, stream: Stream) -> None:
        _merge(stream.clock, self._host)
        if stream.blocking:
            _merge(stream.clock, self.default.clock)
        stream.count += 1
        stream.clock[stream.handle] = stream.count

    def _check(self, stream: Stream, op: Op) -> None:
        mine = [_Access(span, False, stream.handle, stream.count, op.name) for span in op.reads]
        mine += [_Access(span, True, stream.handle, stream.count, op.name) for span in op.writes]
        for other in self._accesses:
            if other.count <= stream.clock.get(other.stream, 0):
                continue
            for access in mine:
                if (access.writes or other.writes) and _overlap(access.span, other.span):
                    raise Misuse("race", f"{op.name} and {other.name} of another stream, with no event between them")
        self._accesses += mine

    def _run(self, stream: Stream, count: int) -> None:
        while stream.queue and stream.queue[0][0] <= count:
            stream.queue.popleft()[1]()

    def _learn(self, clock: Clock) -> None:
        _merge(self._host, clock)
        self._accesses = [access for access in self._accesses if access.count > self._host.get(access.stream, 0)]


def _merge(clock: Clock, other: Clock) -> None:
    for handle, count in other.items():
        clock[handle] = max(count, clock.get(handle, 0))


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
