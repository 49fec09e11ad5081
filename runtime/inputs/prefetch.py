"""Prefetch clips on worker threads: decode the frames for the next tick while the current one is computed.

At most ``ahead`` frames of a clip are read before they are requested, so at most that many go unused when the clip
ends. A clip is read by one thread at a time, one frame per task, so no clip holds up the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Condition

from ...errors import FrameError, VbenchError
from ..engines.base import Engine, Handle
from .base import ReadCost, Reader
from .reader_threads import POLL_S, ReaderThreads, ReadTask, call_bounded, read_failure


class Prefetcher:
    """Provides the pixels of one clip step by step, reading ahead on ``threads``, or on request without them.

    A read that hangs is abandoned (see `ReaderThreads`), and the clip fails. Any other exception in the clip's own
    code, including SystemExit, also reaches the caller as a `VbenchError`.

    `pixels`, `take` and `read_up_to` belong to one thread; all other members are thread-safe.
    """

    def __init__(
        self, open_clip: Callable[[], Reader], steps: int, ahead: int, threads: ReaderThreads | None, name: str = ""
    ) -> None:
        self.name = name
        self._open_clip, self._steps, self._ahead, self._threads = open_clip, steps, ahead, threads
        self._reader: Reader | None = None
        self._ready: deque[Handle | VbenchError] = deque()
        self._changed = Condition()
        self._read = self._wanted = 0
        self._busy = self._closed = self._abandoned = False

    @property
    def cost(self) -> ReadCost:
        """Reading cost so far."""
        return ReadCost() if self._reader is None else self._reader.cost

    @property
    def ready(self) -> bool:
        """Whether the pixels for the next step have been read successfully."""
        with self._changed:
            return bool(self._ready) and not isinstance(self._ready[0], VbenchError)

    def read_up_to(self, step: int) -> None:
        """Read the steps up to and including this one (1-based) in the background."""
        with self._changed:
            self._wanted = max(self._wanted, min(step, self._steps))
            self._continue()

    def pixels(self, step: int, engine: Engine, out: Handle) -> None:
        """Write the pixels for a step to ``out``; see `take`."""
        if self._threads is None:
            self._load(step, out)
        else:
            engine.copy(self.take(step), out)

    def take(self, step: int) -> Handle:
        """Return the pixels for a step, waiting until they have been read; steps must be requested in order.

        Raises:
            VbenchError: the clip cannot be opened or the frame cannot be read.
        """
        if self._threads is None:
            return self._load(step, None)
        self.read_up_to(step)
        self._wait(self._threads)
        pixels = self._ready.popleft()
        if isinstance(pixels, VbenchError):
            raise pixels
        self.read_up_to(step + self._ahead)
        return pixels

    def close(self) -> None:
        """Stop reading, interrupting a read in progress."""
        with self._changed:
            self._closed = True
            reader = None if self._abandoned else self._reader
        if reader is not None:
            _close(reader)

    def _wait(self, threads: ReaderThreads) -> None:
        """Wait until the next step has been read or abandoned."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._ready, POLL_S):
                    return
            threads.check()  # check the reads of all clips: this one may be queued behind one that hangs

    def _continue(self) -> None:
        if self._threads is not None and not self._busy and not self._closed and self._read < self._wanted:
            self._busy = True
            self._threads.submit(ReadTask(self._read_next, self._give_up))

    def _read_next(self) -> None:
        pixels: Handle | VbenchError
        try:
            pixels = self._load(self._read + 1, None)
        except VbenchError as error:
            pixels = error
        except BaseException as error:  # from the clip's code: Ctrl-C is raised in the main thread
            pixels = read_failure(error)
        with self._changed:
            if not self._abandoned:
                self._add(pixels)
                return
            reader = self._reader
        if reader is not None:
            _close(reader)

    def _give_up(self, error: FrameError) -> None:
        """Abandon the read in progress; its thread closes the reader if the read ever returns."""
        with self._changed:
            if self._busy:
                self._abandoned = True
                self._add(error)

    def _add(self, pixels: Handle | VbenchError) -> None:
        self._ready.append(pixels)
        self._read += 1
        self._busy = False
        self._closed = self._closed or isinstance(pixels, VbenchError)
        self._continue()
        self._changed.notify()

    def _load(self, step: int, out: Handle | None) -> Handle:
        try:
            return self._get_reader().read(step, out)
        except VbenchError:
            raise
        except Exception as error:  # decoders may raise anything, and one clip must not abort a run of ten thousand
            raise read_failure(error) from error

    def _get_reader(self) -> Reader:
        if self._reader is None:
            reader = call_bounded(self._open_clip)
            with self._changed:
                self._reader = reader
            if self._closed:
                reader.close()
        return self._reader


def _close(reader: Reader) -> None:
    with suppress(Exception):  # it cannot change the clip's result
        reader.close()
