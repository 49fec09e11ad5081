"""Lazy streams: work runs only when it is waited for, in stream order.

Only the host orders streams, by waiting. Two accesses of different streams to the same bytes, one of them a write, are
a race unless the host has waited for the first. It is detected when the second access is enqueued, even if the results
would have been correct. vbench neither makes a stream wait for another one nor uses the default stream; nor do the
fakes.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .memory import LogicError
from .misuse import Misuse

Span = tuple[int, int]  # first byte and one past the last

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
    """One queue. ``known`` is the number of its operations for which the host has waited."""

    handle: int
    live: bool = True
    count: int = 0
    known: int = 0
    queue: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)
    capture: Capture | None = None


@dataclass
class Marker:
    """The position of an event in a stream."""

    stream: Stream
    count: int = 0
    captured: bool = False
    passed: bool = False


@dataclass(frozen=True)
class _Access:
    span: Span
    writes: bool
    stream: Stream
    count: int
    name: str


class Streams:
    """All streams of a device. Calls are serialized: each holds the lock while it runs work."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.synchronizations = 0
        self._streams: dict[int, Stream] = {}
        self._accesses: list[_Access] = []

    def create(self) -> Stream:
        """Create a stream."""
        with self.lock:
            stream = Stream(0x5000 + 0x10 * len(self._streams))
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
            stream.count += 1
            self._check(stream, op)
            stream.queue.append((stream.count, op.sealed()))

    def record(self, stream: Stream) -> Marker:
        """Return a marker after all work enqueued so far."""
        with self.lock:
            marker = Marker(stream, captured=stream.capture is not None)

            def passed() -> None:
                marker.passed = True

            self.submit(stream, Op("cuEventRecord", passed))
            marker.count = stream.count
            return marker

    def synchronize(self, stream: Stream) -> None:
        """Run a stream's work and order the host after it."""
        with self.lock:
            self.permit(stream, "cuStreamSynchronize")
            self.synchronizations += 1
            self._run(stream, stream.count)

    def synchronize_marker(self, marker: Marker, what: str = "cuEventSynchronize") -> None:
        """Run the work before a marker and order the host after it."""
        with self.lock:
            if marker.captured:
                self._invalidate(marker.stream)
                raise LogicError(f"{what} failed: operation not permitted on an event last recorded in a capture")
            self.synchronizations += 1
            self._run(marker.stream, marker.count)

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

    def _check(self, stream: Stream, op: Op) -> None:
        mine = [_Access(span, False, stream, stream.count, op.name) for span in op.reads]
        mine += [_Access(span, True, stream, stream.count, op.name) for span in op.writes]
        for other in self._accesses:
            for access in mine if other.stream is not stream else ():
                if (access.writes or other.writes) and _overlap(access.span, other.span):
                    raise Misuse("race", f"{op.name} and {other.name} of another stream, for which nobody waited")
        self._accesses += mine

    def _run(self, stream: Stream, count: int) -> None:
        while stream.queue and stream.queue[0][0] <= count:
            stream.queue.popleft()[1]()
        stream.known = max(stream.known, count)
        self._accesses = [access for access in self._accesses if access.count > access.stream.known]


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
