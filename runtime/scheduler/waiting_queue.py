"""The clips that wait for a slot."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from ..inputs.frame_input import Named, Reader, named
from ..inputs.prefetch import Feed
from .options import StreamOptions
from .schedules import Sequential

OpenClip = Callable[[], Reader]


class Line:
    """Hands out clips in order. As many as there are slots have their first frame read already.

    With `sequential` none has: one clip's latency is measured from its opening, and nothing else may go on meanwhile.
    """

    def __init__(
        self,
        clips: Iterable[OpenClip | Named[OpenClip]],
        steps: int,
        options: StreamOptions,
        ahead_in_clip: int | None = None,
    ) -> None:
        """Read ``ahead_in_clip`` steps of a clip ahead; None: as many as ``options.prefetch`` says."""
        self._numbered = enumerate(clips)
        self._options, self._steps = options, steps
        self._ahead_in_clip = options.prefetch if ahead_in_clip is None else ahead_in_clip
        self._executor = ThreadPoolExecutor(options.workers, "vbench-reader") if options.prefetch else None
        self._ahead = options.slots if options.prefetch and options.schedule != Sequential.name else 0
        self._waiting: deque[tuple[int, Feed]] = deque()

    def next(self) -> tuple[int, Feed] | None:
        """Return the next clip and its feed, None if there is no more."""
        while len(self._waiting) <= self._ahead:
            numbered = next(self._numbered, None)
            if numbered is None:
                break
            clip, waiting = numbered[0], named(numbered[1])
            feed = Feed(waiting.clip, self._steps, self._ahead_in_clip, self._executor, waiting.name)
            self._waiting.append((clip, feed))
            if self._ahead:
                feed.read_up_to(1)
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Read nothing more."""
        for _, feed in self._waiting:
            feed.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
