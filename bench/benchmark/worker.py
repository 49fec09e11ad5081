"""One contender in its own process, which may crash or hang; it serves turns until its input ends.

A request is a line of JSON on stdin, its reply a line on the original stdout; whatever libraries print goes to stderr.
Besides its engine, a worker needs only NumPy and pydantic, so that a bare GPU machine can run it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from ...errors import FrameError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.doctor.finding import first_line
from ...runtime.engines.base import Engine, Handle
from ...runtime.inputs.base import NamedClip, OpenSource, Reader, close_source
from ...runtime.networks.base import Network
from ...runtime.scheduler.options import StreamOptions
from ...runtime.scheduler.results import ClipResult
from ...runtime.scheduler.stream import ClipStream
from ...runtime.telemetry.gpu_monitor import Telemetry, runs_on_gpu
from ...runtime.telemetry.host_monitor import HostMonitor
from ...runtime.video.source import ArrayFrames
from ..datasets.base import Video
from ..records.video_row import VideoRow
from .clips import limited
from .load import load_contender
from .turn import Started, Turn, TurnRequest, WorkerTask

_KILOBYTE = 1024  # unit of ru_maxrss on Linux


def main() -> None:
    """Serve a task and its turns until the input ends.

    The process exits without shutdown, so that a library that crashes on unload does no harm.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        try:
            _serve(sys.stdin, out)
        except BaseException as error:  # including SystemExit, which a package may raise on import
            _send(out, {"error": first_line(error)})
        os._exit(0)


def _serve(requests: TextIO, out: TextIO) -> None:
    measured = MeasuredContender(WorkerTask.from_record(json.loads(requests.readline())))
    _send(out, {"reply": vars(measured.started)})
    for line in requests:
        try:
            _send(out, {"reply": measured.run(TurnRequest(**json.loads(line))).record()})
        except Exception as error:
            _send(out, {"error": first_line(error)})


def _send(out: TextIO, reply: dict[str, Any]) -> None:
    out.write(json.dumps(reply) + "\n")
    out.flush()


class MeasuredContender:
    """A loaded and warmed-up contender, with its clips."""

    def __init__(self, task: WorkerTask) -> None:
        """Load and warm up the contender.

        Raises:
            VbenchError: the bundle, the engine or the clips cannot be used.
        """
        begin = perf_counter()
        self._contender = task.contender
        bundle = open_bundle(Path(task.bundle))
        self._dataset = limited(task.clips.load(bundle), task.limit)
        self._sources: dict[int, OpenSource] = {}
        self._network = load_contender(task.contender, bundle, self._dataset)
        loaded = perf_counter()
        self._network.warm_up(task.contender.stream)
        self.started = Started(self._network.engine.describe(), loaded - begin, perf_counter() - loaded)

    def run(self, request: TurnRequest) -> Turn:
        """Run the clips of a turn and measure it."""
        videos = [self._dataset.videos[index] for index in request.clips]
        clips = [NamedClip(video.key, self._opener(index)) for index, video in zip(request.clips, videos)]
        options = self._stream_options(request)
        with Telemetry(self._network.engine.describe()) as gpu, HostMonitor(self._threads()) as host:
            begin = perf_counter()
            results = list(self._results(clips, options))
            seconds = perf_counter() - begin
        return Turn(
            tuple(self._row(videos, result, keep=request.probabilities) for result in results),
            tuple(result.clip for result in results),
            seconds,
            host.record(),
            gpu.record(len(videos)),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE,
        )

    def _threads(self) -> int | None:
        """Return the number of compute threads; None on a GPU, where the engine's threads only launch kernels."""
        return None if runs_on_gpu(self.started.engine) else self._contender.engine.thread_count()

    def _stream_options(self, request: TurnRequest) -> StreamOptions:
        own = self._contender.stream
        if request.schedule is None and request.slots is None:
            return own
        slots = own.slots if request.slots is None else request.slots
        return StreamOptions(request.schedule or own.schedule, slots, own.prefetch)

    def _opener(self, index: int) -> OpenSource:
        """Return the function that opens a clip; frames that a data set draws are drawn here, outside the turn."""
        if index not in self._sources:
            video = self._dataset.videos[index]
            opener: OpenSource = video.open
            with suppress(FrameError):  # the turn will report it as the video's error
                source = video.open()
                if isinstance(source, ArrayFrames):
                    opener = partial(ArrayFrames, source.frames)
                close_source(source)
            self._sources[index] = opener
        return self._sources[index]

    def _results(self, clips: Sequence[NamedClip], options: StreamOptions) -> Iterator[ClipResult]:
        if self._contender.procedure != "original":
            yield from self._network.stream(clips, options)
            return
        network = self._network
        program = network.family.program(network.engine, network.bundle.manifest, network.policy, options)
        stream = ClipStream(program, partial(_open_all_first, network), options, clips)
        stream.finish()
        yield from stream.results()

    def _row(self, videos: Sequence[Video], result: ClipResult, *, keep: bool) -> VideoRow:
        video = videos[result.clip]
        row = VideoRow.from_result(video.key, video.classes, result, traced=False)
        return row if keep else row.without_arrays()


def _open_all_first(network: Network, clip: object) -> Reader:
    """Open a clip and read the frames of all steps before the first one runs, as the authors' data loaders do."""
    reader = network.family.open_input(network.engine, network.bundle.manifest, network.policy, clip)
    return _AllFirst(network.engine, reader, network.steps)


class _AllFirst:
    """A reader that has already read the pixels of all steps."""

    def __init__(self, engine: Engine, reader: Reader, steps: int) -> None:
        self._engine, self._reader, self.cost = engine, reader, reader.cost
        self._pixels = [reader.read(step) for step in range(1, steps + 1)]

    def read(self, step: int, out: Handle | None = None) -> Handle:
        if out is None:
            return self._pixels[step - 1]
        self._engine.copy(self._pixels[step - 1], out)
        return out

    def close(self) -> None:
        self._reader.close()
