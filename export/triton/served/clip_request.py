"""A request and its clips: the request is answered once, when the last of its clips has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ....errors import VbenchError
from ....runtime.policies.base import Policy
from ....runtime.scheduler.results import Prediction

Answer = Sequence[Prediction] | VbenchError
_names = count()


class ClipObserver(Protocol):
    """Receives the result of every clip, such as metrics."""

    def count(self, prediction: Prediction | None) -> None:
        """Count a clip; None is one that failed."""
        ...


class ServedClip:
    """One clip of a request: uint8 ``frames [T, H, W, 3]``, its policy, and a name that no other clip has."""

    def __init__(self, request: ServedRequest, place: int, frames: NDArray[np.uint8]) -> None:
        self.name, self.frames, self.policy = str(next(_names)), frames, request.policy
        self._request, self._place = request, place

    @property
    def abandoned(self) -> bool:
        """Whether the request has already been answered, with an error."""
        return self._request.answered

    def end(self, result: Prediction | VbenchError) -> None:
        """Record the clip's result."""
        self._request.end_clip(self._place, result)


class ServedRequest:
    """A request, which is answered with the predictions of all its clips or with one error. Thread-safe."""

    def __init__(
        self,
        policy: Policy,
        clips: int,
        answer: Callable[[Answer], None],
        observer: ClipObserver,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Create a request for a number of ``clips``.

        Args:
            policy: the policy of all clips.
            clips: number of results that complete the request.
            answer: called once: with the predictions in the order of the clips, or with the first error.
            observer: receives the result of every clip, after the answer.
            ended: called when the last clip has ended, even if the request had been answered before.
        """
        self.policy, self.answered = policy, False
        self._answer, self._observer, self._ended = answer, observer, ended
        self._results: list[Prediction | None] = [None] * clips
        self._remaining = clips
        self._error: VbenchError | None = None
        self._lock = threading.Lock()

    def clips(self, frames: NDArray[np.uint8]) -> list[ServedClip]:
        """Return the clips in ``frames [clips, T, H, W, 3]``; only they refer to the frames."""
        return [ServedClip(self, place, clip) for place, clip in enumerate(frames)]

    def end_clip(self, place: int, result: Prediction | VbenchError) -> None:
        """Record the result of a clip, and answer if it was the last one."""
        failed, abandoned = isinstance(result, VbenchError), self.answered
        with self._lock:
            self._remaining -= 1
            if isinstance(result, VbenchError):
                self._error = self._error or result
            else:
                self._results[place] = result
            last = self._remaining == 0
        if last:
            self._answer_once(self._error or [each for each in self._results if each is not None])
            self._ended()
        if not abandoned:
            self._observer.count(None if failed else self._results[place])

    def abandon(self, error: VbenchError) -> None:
        """Answer with an error now, and count the clips that have not ended as failed.

        They end at their next decisions.
        """
        with self._lock:
            remaining = self._remaining
        if self._answer_once(error):
            for _ in range(remaining):
                self._observer.count(None)

    def _answer_once(self, answer: Answer) -> bool:
        """Answer unless the request has been answered; return whether it had not been."""
        with self._lock:
            if self.answered:
                return False
            self.answered = True
        self._answer(answer)
        return True
