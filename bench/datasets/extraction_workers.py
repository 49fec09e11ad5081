"""Extract videos in parallel processes, which end when the process that started them ends, even if it is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from ...errors import FrameError, RunError

_CLEAN_UP_S = 10.0  # time for an extraction to stop and remove its partial folder


class ExtractionJob(NamedTuple):
    """One video to extract, as sent to a worker process."""

    key: str
    video: Path
    folder: Path
    rate: int
    short_side: int


class JobResult(NamedTuple):
    """Result from a worker: the number of images written, and the damage or failure, if any."""

    key: str
    pictures: int
    damage: str | None = None
    failure: str | None = None


def run_jobs(jobs: list[ExtractionJob], workers: int, progress: Callable[[int, int], None]) -> list[JobResult]:
    """Extract all `jobs` in `workers` processes; no partial folders remain, even if extraction stops early.

    Raises:
        MissingError: the disk is full or not writable.
        RunError: a worker process died.
    """
    # spawn, not fork: the parent may have threads (a progress bar), and FFmpeg's libraries are not fork-safe
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    outcomes: list[JobResult] = []
    if not jobs:
        return outcomes
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (stop,))
    try:
        for outcome in _results(pool, iter(jobs), 2 * workers):
            outcomes.append(outcome)
            progress(len(outcomes), len(jobs))
    except BrokenProcessPool as error:
        raise RunError("a worker process died", "run again (with fewer --workers if memory ran out)") from error
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return outcomes


def _results(pool: ProcessPoolExecutor, jobs: Iterator[ExtractionJob], ahead: int) -> Iterator[JobResult]:
    """Yield results as they complete, with at most `ahead` jobs submitted at a time."""
    pending: set[Future[JobResult]] = {pool.submit(_extract, job) for job in islice(jobs, ahead)}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
        pending |= {pool.submit(_extract, job) for job in islice(jobs, len(done))}


_stop: Event | None = None  # set once in each worker process by its initializer
_orphaned = threading.Event()
_extracting = threading.Lock()


def _start_worker(stop: Event) -> None:
    import signal

    import av

    global _stop
    _stop = stop
    # Ctrl-C reaches the whole group; only the parent handles it, and the workers exit through _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    av.logging.set_level(av.logging.PANIC)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit once the parent has died; an idle worker would otherwise wait forever for its next job."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    _orphaned.set()
    _extracting.acquire(timeout=_CLEAN_UP_S)
    os._exit(1)


def _stopped() -> bool:
    return _orphaned.is_set() or (_stop is not None and _stop.is_set())


def _extract(job: ExtractionJob) -> JobResult:
    with _extracting:
        try:
            return _extract_one(job)
        finally:
            if _orphaned.is_set():
                os._exit(1)  # nobody receives the result


def _extract_one(job: ExtractionJob) -> JobResult:
    from av.error import FFmpegError

    from .extract_frames import ExtractionStopped, extract_video

    try:
        extracted = extract_video(job.video, job.folder, job.rate, job.short_side, _stopped)
    except (FrameError, FFmpegError) as error:
        return JobResult(job.key, 0, failure=" ".join(str(error).split()))
    except ExtractionStopped:
        return JobResult(job.key, 0, failure="stopped")
    return JobResult(job.key, extracted.pictures, extracted.damage)
