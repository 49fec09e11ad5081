"""Serving in lockstep: the clips of a server batch start together, and the next batch starts when all have ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ....errors import VbenchError
from .clip_request import Answer, ServedClip, ServedRequest
from .messages import response
from .metrics import ClipMetrics
from .served_network import ServedNetwork, named, outcome, run_alone


class LockstepServer:
    """Answers all requests of a batch before ``execute`` returns. Used by one thread."""

    def __init__(self, network: ServedNetwork, metrics: ClipMetrics) -> None:
        self._network, self._metrics, self._parts = network, metrics, network.parts()

    def execute(self, requests: Sequence[Any]) -> list[Any] | None:
        """Return the responses to requests, in order."""
        answers: dict[int, Answer] = {}
        groups: dict[tuple[object, ...], list[ServedClip]] = {}
        for place, request in enumerate(requests):
            try:
                frames, policy = self._network.read(request)
                key = self._network.stream_key(policy)
            except VbenchError as error:
                answers[place] = error
                continue
            served = ServedRequest(policy, len(frames), partial(answers.__setitem__, place), self._metrics)
            groups.setdefault(key, []).extend(served.clips(frames))
        for clips in groups.values():
            self._run(clips)
        return [response(answers[place], request) for place, request in enumerate(requests)]

    def close(self) -> None:
        """Release the threads of the parts; no other thread runs between batches."""
        self._parts.close()

    def _run(self, clips: Sequence[ServedClip]) -> None:
        by_name = {clip.name: clip for clip in clips}
        network = self._network.network(clips[0].policy, by_name.__getitem__, self._parts)
        waiting = dict(enumerate(clips))
        try:
            for result in network.stream(map(named, clips), self._network.options):
                waiting.pop(result.clip).end(outcome(result))
        except Exception:  # a part failed, and with it the batch; `run_alone` finds the error of each clip
            network = self._network.network(clips[0].policy, by_name.__getitem__, self._parts)
            run_alone(network, list(waiting.values()))
