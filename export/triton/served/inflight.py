"""Serving with in-flight batching: a request joins the running batch, and is answered when its clips have ended.

``execute`` only submits clips and returns; responses follow from the threads of the streams. A watchdog answers
requests that take too long or that the client has given up, so nothing waits forever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import triton_python_backend_utils as pb_utils

from ....errors import EngineError, OverloadError, UsageError, VbenchError
from .clip_request import Answer, ServedRequest
from .messages import response
from .metrics import ClipMetrics
from .one_line import one_line
from .served_network import ServedNetwork
from .stream_thread import StreamThread, StreamThreads

_WATCH_S = 0.25
_CANCEL_AFTER_S = 1.0  # finding out whether a request was given up costs a round trip to the server
_CLOSE_LIMIT_S = 5.0
_QUEUED_BATCHES = 2  # one that runs and one that waits; further requests wait in the server's own queue


@dataclass(eq=False)
class _InFlight:
    """A request whose clips have not ended.

    Attributes:
        request: the backend's request, which may own the memory of the frames.
        clips: number of its clips.
        served: None until the clips have been read, and after the last one has ended.
        stream: the stream that runs the clips.
    """

    request: Any
    sender: Any
    started_s: float
    clips: int = 0
    served: ServedRequest | None = None
    stream: StreamThread | None = None

    @property
    def waits(self) -> bool:
        """Whether the request has not been answered."""
        return self.served is not None and not self.served.answered


class InFlightServer:
    """Answers requests from streams of clips. `execute` and `close` are called by one thread."""

    def __init__(self, network: ServedNetwork, metrics: ClipMetrics) -> None:
        self._network, self._metrics = network, metrics
        self._limit_s = network.settings.limit_s
        self._streams = StreamThreads(network)
        self._in_flight: set[_InFlight] = set()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="vbench-watchdog", daemon=True)
        self._watchdog.start()

    def execute(self, requests: Sequence[Any]) -> list[Any] | None:
        """Submit the clips of requests, waiting while too many clips are in flight; responses are sent later."""
        try:
            senders = [request.get_response_sender() for request in requests]
        except Exception as error:
            problem = UsageError(
                f"this server cannot send a response after execute has returned ({one_line(error)})",
                "use a newer release, or package with --schedule lockstep",
            )
            return [response(problem, request) for request in requests]
        for request, sender in zip(requests, senders):
            self._submit(_InFlight(request, sender, time.monotonic()))
        return None

    def close(self) -> None:
        """Finish the clips in flight, answer what is left with an error, and end all threads."""
        self._streams.close(_CLOSE_LIMIT_S)
        self._closing.set()
        self._watchdog.join(_CLOSE_LIMIT_S)
        self._abandon(self._snapshot(), EngineError("the model was unloaded", "send the request again"))

    def _submit(self, entry: _InFlight) -> None:
        try:
            frames, policy = self._network.read(entry.request)
            answer, ended = partial(_send, entry), partial(self._release, entry)
            served = ServedRequest(policy, len(frames), answer, self._metrics, ended)
            self._admit(entry, served, len(frames))
            entry.stream = self._streams.submit(policy, served.clips(frames))
        except VbenchError as error:
            self._fail(entry, error)
        except Exception as error:  # a bug; other requests are not affected
            self._fail(entry, EngineError(f"{type(error).__name__}: {one_line(error)}", "report it"))

    def _admit(self, entry: _InFlight, served: ServedRequest, clips: int) -> None:
        """Wait until there is room for the clips of a request.

        Raises:
            OverloadError: there was no room in time.
        """
        most = _QUEUED_BATCHES * self._network.settings.slots
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(clips, most), self._limit_s):
                raise OverloadError(f"no slot became free within {self._limit_s:g} s", "send requests less often")
            entry.served, entry.clips = served, clips
            self._in_flight.add(entry)

    def _has_room(self, clips: int, most: int) -> bool:
        waiting = [each.clips for each in self._in_flight if each.waits]  # those answered early end at their next step
        return not waiting or sum(waiting) + clips <= most

    def _release(self, entry: _InFlight) -> None:
        with self._changed:
            self._in_flight.discard(entry)
            entry.served = None  # the two refer to each other, and the request holds shared memory
            self._changed.notify_all()

    def _fail(self, entry: _InFlight, error: VbenchError) -> None:
        """Answer a request whose clips could not be submitted, or not all of them."""
        served = entry.served
        self._release(entry)
        if served is None:
            _send(entry, error)
        else:
            served.abandon(error)

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_S):
            now_s = time.monotonic()
            late = [each for each in self._snapshot() if now_s - each.started_s > self._limit_s]
            self._retire_streams(late)
            problem = f"not answered within {self._limit_s:g} s"
            self._abandon(late, OverloadError(problem, "send fewer clips at a time, or see the server's log"))
            older = [each for each in self._snapshot() if now_s - each.started_s > _CANCEL_AFTER_S]
            given_up = [each for each in older if _is_given_up(each)]
            self._abandon(given_up, EngineError("the client canceled the request", "send it again"))

    def _snapshot(self) -> list[_InFlight]:
        """Return the requests that have not been answered."""
        with self._changed:
            return [each for each in self._in_flight if each.waits]

    def _retire_streams(self, late: Sequence[_InFlight]) -> None:
        """Replace the streams of requests that took too long: a call to a part may never return."""
        for stream in {each.stream for each in late if each.stream is not None}:
            if self._streams.retire(stream):
                pb_utils.Logger.log_warn(
                    f"clips of a stream took more than {self._limit_s:g} s, so that a new stream takes its place; "
                    "a model of a part may hang"
                )

    def _abandon(self, entries: Sequence[_InFlight], error: VbenchError) -> None:
        for entry in entries:
            served = entry.served
            if served is not None:
                served.abandon(error)
        with self._changed:
            self._changed.notify_all()  # their clips no longer take up room


def _is_given_up(entry: _InFlight) -> bool:
    try:
        return bool(entry.sender.is_cancelled())
    except Exception:  # the request has been answered in the meantime
        return False


def _send(entry: _InFlight, answer: Answer) -> None:
    try:
        entry.sender.send(response(answer, entry.request), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:  # the server no longer takes the response
        pb_utils.Logger.log_warn(f"a response could not be sent: {one_line(error)}")
