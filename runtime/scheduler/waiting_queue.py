"""FIFO queue of clips waiting for a slot, either taken from an iterable or submitted by other threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from threading import Condition
from typing import NamedTuple

from ...errors import OverloadError, VbenchError
from ..inputs.base import NamedClip, Reader, named_clip
from ..inputs.prefetch import Prefetcher
from ..inputs.reader_threads import ReaderThreads
from .active_clip import Clock
from .options import StreamOptions
from .schedules import Sequential

OpenInput = Callable[[object], Reader]


class WaitingClip(NamedTuple):
    """Number and input of a clip; ``submitted_s`` is None for a clip from the iterable."""

    number: int
    source: Prefetcher
    submitted_s: float | None


class _Unopened(NamedTuple):
    number: int
    clip: NamedClip
    submitted_s: float | None


class WaitingQueue:
    """Returns clips in order, prefetching the first input of as many clips as there are slots.

    Under the `sequential` schedule, waiting clips are not prefetched: a clip's latency includes opening it, and nothing
    else may run at the same time.

    Thread safety: `submit` and `finish` may be called from any thread; all other methods belong to the scheduling
    thread. That thread also consumes the iterable, lazily.
    """

    def __init__(
        self,
        clips: Iterable[object],
        open_input: OpenInput,
        steps: int,
        options: StreamOptions,
        clock: Clock,
        *,
        reads_ahead: bool,
    ) -> None:
        """Prefetch up to ``options.prefetch`` steps of each clip if ``reads_ahead`` is true, or none otherwise."""
        self._clips = iter(clips)
        self._open_input, self._options, self._steps, self._clock = open_input, options, steps, clock
        self._ahead_in_clip = options.prefetch if reads_ahead else 0
        self._threads = ReaderThreads(options.workers) if options.prefetch else None
        self._ahead = options.slots if options.prefetch and options.schedule != Sequential.name else 0
        self._waiting: deque[WaitingClip] = deque()
        self._changed = Condition()
        self._submitted: deque[_Unopened] = deque()
        self._count, self._finished = 0, False

    def submit(self, clip: object) -> int:
        """Add a clip and return its number.

        Raises:
            RuntimeError: `finish` has been called.
        """
        with self._changed:
            if self._finished:
                raise RuntimeError("clips cannot be submitted after finish()")
            number = self._next_number()
            self._submitted.append(_Unopened(number, named_clip(clip), self._clock()))
            self._changed.notify()
            return number

    def finish(self) -> None:
        """Accept no more submissions."""
        with self._changed:
            self._finished = True
            self._changed.notify()

    def next(self) -> WaitingClip | None:
        """Return the next clip; None if no clip is waiting."""
        self._prepare(self._ahead + 1)
        return self._waiting.popleft() if self._waiting else None

    def read_ahead(self) -> None:
        """Start reading the next clips, as many as there are slots, although all slots may be occupied."""
        self._prepare(self._ahead)

    def expire(self) -> dict[int, VbenchError]:
        """Remove the submitted clips that have waited longer than the options permit, and return their errors."""
        limit_s = self._options.max_wait_s
        if limit_s is None:
            return {}
        earliest_s = self._clock() - limit_s
        expired = [clip for clip in self._waiting if _is_older(clip, earliest_s)]
        for clip in expired:
            clip.source.close()
            self._waiting.remove(clip)
        numbers = [clip.number for clip in expired]
        with self._changed:
            while self._submitted and _is_older(self._submitted[0], earliest_s):
                numbers.append(self._submitted.popleft().number)
        return {number: _rejection(limit_s) for number in numbers}

    def wait(self) -> bool:
        """Wait for a submission; return False if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._submitted or self._finished)
            return bool(self._submitted)

    def close(self) -> None:
        """Stop all reading and accept no more submissions."""
        self.finish()
        for waiting in self._waiting:
            waiting.source.close()
        if self._threads is not None:
            self._threads.close()

    def _prepare(self, count: int) -> None:
        """Have ``count`` clips waiting with their readers, or all if there are fewer."""
        while len(self._waiting) < count:
            pulled = self._pull()
            if pulled is None:
                return
            number, clip, submitted_s = pulled
            source = Prefetcher(
                partial(self._open_input, clip.clip), self._steps, self._ahead_in_clip, self._threads, clip.name
            )
            self._waiting.append(WaitingClip(number, source, submitted_s))
            if self._ahead:
                source.read_up_to(1)

    def _pull(self) -> _Unopened | None:
        for clip in self._clips:
            with self._changed:
                return _Unopened(self._next_number(), named_clip(clip), None)
        with self._changed:
            return self._submitted.popleft() if self._submitted else None

    def _next_number(self) -> int:
        self._count += 1
        return self._count - 1


def _is_older(clip: WaitingClip | _Unopened, earliest_s: float) -> bool:
    return clip.submitted_s is not None and clip.submitted_s < earliest_s


def _rejection(limit_s: float) -> OverloadError:
    return OverloadError(
        f"the clip was rejected after waiting more than {1000 * limit_s:g} ms for a slot",
        "submit clips less often, or permit a longer wait",
    )
