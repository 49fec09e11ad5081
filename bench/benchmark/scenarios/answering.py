"""Answer the queries of a LoadGen test with a stream of clips."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from ....errors import OverloadError, RunError
from ....runtime.networks.base import Network
from ....runtime.scheduler.options import StreamOptions
from ....runtime.scheduler.results import ClipResult
from ....runtime.scheduler.stream import ClipStream
from ...datasets.base import Video
from .loadgen_client import LoadGenClient, Query
from .loadgen_settings import LoadGenTest


def answer_queries(network: Network, videos: Sequence[Video], test: LoadGenTest, options: StreamOptions) -> int:
    """Run a LoadGen test to its end; return the number of queries rejected because their clip waited too long.

    One thread submits the clip of each query to the stream as soon as it arrives; the calling thread collects the
    results. Every result is reported to LoadGen, including rejections, whose latency LoadGen measures like any other.

    Raises:
        RunError: LoadGen or a clip failed.
        VbenchError: the engine failed.
    """
    rejected = 0
    with closing(network.open_stream(options)) as stream, closing(LoadGenClient(test)) as loadgen:
        with _submitting(loadgen, stream, videos) as queries:
            for result in stream.results():
                query = queries[result.clip]
                if isinstance(result.error, OverloadError):
                    rejected += 1
                else:
                    _check(result, videos[query.sample])
                loadgen.complete(query.id)
        loadgen.check_end()
    return rejected


def clips_per_second(network: Network, videos: Sequence[Video], options: StreamOptions, least_s: float = 1.0) -> float:
    """Return the throughput, measured for at least ``least_s`` seconds and until each slot has been used twice.

    Raises:
        RunError: a clip failed.
    """
    begin_s, count = time.perf_counter(), 0
    with closing(network.stream((video.open for video in itertools.cycle(videos)), options)) as results:
        for count, result in enumerate(results, start=1):
            _check(result, videos[result.clip % len(videos)])
            if time.perf_counter() - begin_s >= least_s and count >= 2 * options.slots:
                break
    return count / (time.perf_counter() - begin_s)


def least_latency_ms(network: Network, videos: Sequence[Video], options: StreamOptions, count: int = 4) -> float:
    """Return the lowest latency among the first ``count`` clips, each running alone.

    Raises:
        RunError: a clip failed.
    """
    latencies_ms = []
    for video in videos[:count]:
        (result,) = network.stream([video.open], options)
        _check(result, video)
        latencies_ms.append(1000 * result.cost.latency_s)
    return min(latencies_ms)


@contextmanager
def _submitting(loadgen: LoadGenClient, stream: ClipStream, videos: Sequence[Video]) -> Iterator[Sequence[Query]]:
    """Submit the clips of all queries in a thread; yield the queries so far, by clip number."""
    queries: list[Query] = []

    def submit() -> None:
        try:
            for query in loadgen.queries():
                queries.append(query)  # before its result can arrive
                stream.submit(videos[query.sample].open)
        finally:
            stream.finish()

    thread = threading.Thread(target=submit, name="vbench-loadgen", daemon=True)
    thread.start()
    try:
        yield queries
    except BaseException:
        loadgen.end()
        raise
    finally:
        thread.join()


def _check(result: ClipResult, video: Video) -> None:
    if result.error is not None:
        raise RunError(f"video {video.key}: {result.error.message}", result.error.hint) from result.error
