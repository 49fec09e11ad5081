"""The clips that wait for a slot: those of an iterable, and those that other threads submit meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Condition
from typing import NamedTuple

from ..inputs.base import NamedClip, Reader, named_clip
from ..inputs.prefetch import Prefetcher
from .options import StreamOptions
from .schedules import Sequential

OpenInput = Callable[[object], Reader]


class WaitingClip(NamedTuple):
    """A clip by its number, and its input."""

    number: int
    source: Prefetcher


class WaitingQueue:
    """Hands out clips in order. As many as there are slots have their first input read already.

    With `sequential` none has: one clip's latency is measured from its opening, and nothing else may run meanwhile.

    Thread safety: `submit` and `finish` may be called from any thread; everything else belongs to the thread that
    schedules. The iterable is read by that thread too, only as far as it is needed.
    """

    def __init__(
        self,
        clips: Iterable[object],
        open_input: OpenInput,
        steps: int,
        options: StreamOptions,
        *,
        reads_ahead: bool,
    ) -> None:
        """Read up to ``options.prefetch`` steps of a clip ahead, none if not ``reads_ahead``."""
        self._clips = iter(clips)
        self._open_input, self._options, self._steps = open_input, options, steps
        self._ahead_in_clip = options.prefetch if reads_ahead else 0
        self._executor = ThreadPoolExecutor(options.workers, "vbench-reader") if options.prefetch else None
        self._ahead = options.slots if options.prefetch and options.schedule != Sequential.name else 0
        self._waiting: deque[WaitingClip] = deque()
        self._changed = Condition()
        self._submitted: deque[tuple[int, NamedClip]] = deque()
        self._count, self._finished = 0, False

    def submit(self, clip: object) -> int:
        """Add a clip and return its number.

        Raises:
            RuntimeError: the queue has been finished.
        """
        with self._changed:
            if self._finished:
                raise RuntimeError("no clip can be submitted after finish()")
            number = self._next_number()
            self._submitted.append((number, named_clip(clip)))
            self._changed.notify()
            return number

    def finish(self) -> None:
        """Take no more submissions."""
        with self._changed:
            self._finished = True
            self._changed.notify()

    def next(self) -> WaitingClip | None:
        """Return the next clip, None if there is none at the moment."""
        while len(self._waiting) <= self._ahead:
            pulled = self._pull()
            if pulled is None:
                break
            number, clip = pulled
            source = Prefetcher(
                partial(self._open_input, clip.clip), self._steps, self._ahead_in_clip, self._executor, clip.name
            )
            self._waiting.append(WaitingClip(number, source))
            if self._ahead:
                source.read_up_to(1)
        return self._waiting.popleft() if self._waiting else None

    def wait(self) -> bool:
        """Wait for a submission; False if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._submitted or self._finished)
            return bool(self._submitted)

    def close(self) -> None:
        """Stop all reading, and take no more submissions."""
        self.finish()
        for waiting in self._waiting:
            waiting.source.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _pull(self) -> tuple[int, NamedClip] | None:
        for clip in self._clips:
            with self._changed:
                return self._next_number(), named_clip(clip)
        with self._changed:
            return self._submitted.popleft() if self._submitted else None

    def _next_number(self) -> int:
        self._count += 1
        return self._count - 1
