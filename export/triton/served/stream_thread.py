"""A stream of clips in a thread of its own, and the streams of a network by the parts that their policies require."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from ....runtime.networks.base import Network
from ....runtime.policies.base import Policy
from ....runtime.scheduler.results import ClipResult
from ....runtime.scheduler.stream import ClipStream
from .clip_request import ServedClip
from .served_network import ServedNetwork, named, outcome, run_alone

_MAX_STREAMS = 8


class StreamThread:
    """Runs clips as they arrive. If a part fails, the clips in flight run again, one at a time.

    Thread safety: `submit` and `finish` may be called from any thread.
    """

    def __init__(self, served: ServedNetwork, policy: Policy) -> None:
        """Start the thread, for clips with policies that may share a stream with ``policy``."""
        self._served, self._policy, self._parts = served, policy, served.parts()
        self._lock = threading.Lock()
        self._by_name: dict[str, ServedClip] = {}
        self._by_number: dict[int, ServedClip] = {}
        self._finished = False
        self._stream = self._open()
        self._thread = threading.Thread(target=self._run, name="vbench-stream", daemon=True)
        self._thread.start()

    def submit(self, clips: Sequence[ServedClip]) -> None:
        """Add clips, each of which receives its result; nothing may be added after `finish`."""
        with self._lock:
            for clip in clips:
                self._by_name[clip.name] = clip
                self._by_number[self._stream.submit(named(clip))] = clip

    def finish(self) -> None:
        """Accept no more clips; the thread ends with the last one."""
        with self._lock:
            self._finished = True
            self._stream.finish()

    def join(self, limit_s: float) -> None:
        """Wait for the thread to end, for at most ``limit_s``."""
        self._thread.join(limit_s)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _network(self) -> Network:
        return self._served.network(self._policy, self._by_name.__getitem__, self._parts)

    def _open(self) -> ClipStream:
        return self._network().open_stream(self._served.options)

    def _run(self) -> None:
        try:
            self._run_to_end()
        finally:
            self._parts.close()

    def _run_to_end(self) -> None:
        while True:
            try:
                for result in self._stream.results():
                    self._end(result)
                return
            except Exception:  # a part failed, and with it the batch; `run_alone` finds the error of each clip
                clips = self._restart()
            run_alone(self._network(), clips)
            for clip in clips:
                del self._by_name[clip.name]

    def _end(self, result: ClipResult) -> None:
        with self._lock:
            clip = self._by_number.pop(result.clip)
        del self._by_name[clip.name]
        clip.end(outcome(result))

    def _restart(self) -> list[ServedClip]:
        """Replace the stream, and return the clips that have not ended."""
        with self._lock:
            self._stream.close()
            clips = list(self._by_number.values())
            self._by_number.clear()
            self._stream = self._open()
            if self._finished:
                self._stream.finish()
        return clips


class StreamThreads:
    """The streams of a network, one for each set of policies that may share batches. Thread-safe.

    Beyond a number of streams, the least recently used one is finished.
    """

    def __init__(self, served: ServedNetwork) -> None:
        self._served = served
        self._lock = threading.Lock()
        self._streams: OrderedDict[tuple[object, ...], StreamThread] = OrderedDict()
        self._finishing: list[StreamThread] = []

    def submit(self, policy: Policy, clips: Sequence[ServedClip]) -> StreamThread:
        """Add the clips of a request to the stream for their policy, and return the stream."""
        key = self._served.stream_key(policy)
        with self._lock:
            stream = self._streams.get(key)
            if stream is None:
                stream = self._streams[key] = StreamThread(self._served, policy)
            self._streams.move_to_end(key)
            stream.submit(clips)
            while len(self._streams) > _MAX_STREAMS:
                self._finish(next(iter(self._streams)))
        return stream

    def retire(self, stream: StreamThread) -> bool:
        """Give later requests another stream, because this one may wait forever; return whether it was in use."""
        with self._lock:
            for key in [key for key, each in self._streams.items() if each is stream]:
                self._finish(key)
                return True
        return False

    def close(self, limit_s: float) -> None:
        """Finish all streams, and wait for their threads for at most ``limit_s``."""
        with self._lock:
            for key in list(self._streams):
                self._finish(key)
            finishing = list(self._finishing)
        end_s = time.monotonic() + limit_s
        for stream in finishing:
            stream.join(max(0.0, end_s - time.monotonic()))

    def _finish(self, key: tuple[object, ...]) -> None:
        stream = self._streams.pop(key)
        stream.finish()
        self._finishing = [each for each in self._finishing if each.alive] + [stream]
