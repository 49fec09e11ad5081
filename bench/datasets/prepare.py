"""Frames of a data set's videos, extracted in parallel and as often as it takes.

A video's folder is whole or absent, so a run that was stopped, killed or ran out of disk is simply started again: what
is there is skipped. A broken video is reported and never ends the run; a full disk does, as nothing else would work.
One preparation at a time may write to a data folder.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from ...errors import DatasetError, FrameError, RunError
from .folder import VIDEO_EXTENSIONS
from .frameexit import LAYOUTS, FrameExitLayout, frame_folder, left_out_reason, read_annotations


class VideoProblem(NamedTuple):
    """A video that did not go well, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class ExtractionSummary:
    """What a preparation did. `damaged` videos were extracted as far as they decode, `failed` ones not at all.

    `ready` counts the videos that had frames before; `missing` are keys of the split without a video file.
    """

    ready: int
    extracted: int
    pictures: int
    damaged: tuple[VideoProblem, ...]
    failed: tuple[VideoProblem, ...]
    missing: tuple[str, ...]


class ExtractionJob(NamedTuple):
    """One video to extract, as it is sent to a worker process."""

    key: str
    video: Path
    folder: Path
    rate: int
    short_side: int


class JobResult(NamedTuple):
    """What a worker sends back: pictures written, and the damage or failure if there was one."""

    key: str
    pictures: int
    damage: str | None = None
    failure: str | None = None


def get_layout(name: str) -> FrameExitLayout:
    """The layout of a data set whose frames can be prepared.

    Raises:
        DatasetError: there is none of that name.
    """
    if name not in LAYOUTS:
        raise DatasetError(f"data set {name!r} needs no preparation", f"choose one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def find_videos(folder: Path) -> dict[str, Path]:
    """Video files in `folder` and its subfolders (one level, such as classes) by name without extension.

    Of several files for one name the first in the order of `VIDEO_EXTENSIONS`, then of paths, is taken.

    Raises:
        DatasetError: the folder cannot be listed.
    """
    try:
        files = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.suffix in VIDEO_EXTENSIONS]
    except OSError as error:
        raise DatasetError(f"cannot list {folder}: {error.strerror}", "give the folder of the videos") from error
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "give the folder of the videos")
    files.sort(key=lambda path: (VIDEO_EXTENSIONS.index(path.suffix), path), reverse=True)
    return {path.stem: path for path in files}


def prepare(
    name: str,
    videos: Path,
    root: Path,
    workers: int | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExtractionSummary:
    """Extract the frames of every video of the split that has none yet, into `root/frames/<key>`.

    Args:
        name: `minikinetics` or `activitynet`, which sets the rate and size.
        videos: where the video files are, by key (`<name>.mp4` or another known extension).
        root: the data folder, with the annotation files.
        workers: processes; by default one per core.
        limit: extract no more than this many videos.
        progress: called with (videos done, videos to do).

    Raises:
        DatasetError: the annotations or the videos are not there, or not one video could be extracted.
        MissingError: the disk is full or cannot be written.
        RunError: a worker process died.
    """
    layout = get_layout(name)
    keys = read_annotations(layout, root).keys
    found = find_videos(videos)
    waiting = [key for key in keys if left_out_reason(root, key)]
    jobs = [
        ExtractionJob(key, found[stem], frame_folder(root, key), layout.rate, layout.short_side)
        for key in waiting
        if (stem := key.removesuffix(".mp4")) in found
    ]
    missing = tuple(key for key in waiting if key.removesuffix(".mp4") not in found)
    if waiting and not jobs:
        what = f"{videos} holds none of the {len(waiting)} videos of {name} that lack frames"
        raise DatasetError(what, f"wanted files such as {waiting[0]}, also in subfolders")
    outcomes = run_jobs(jobs[:limit], workers or os.cpu_count() or 1, progress)
    return _summary(len(keys) - len(waiting), outcomes, missing)


def _summary(ready: int, outcomes: list[JobResult], missing: tuple[str, ...]) -> ExtractionSummary:
    outcomes.sort()
    failed = tuple(VideoProblem(outcome.key, outcome.failure) for outcome in outcomes if outcome.failure)
    damaged = tuple(VideoProblem(outcome.key, outcome.damage) for outcome in outcomes if outcome.damage)
    if failed and len(failed) == len(outcomes) and not ready:
        what = f"none of {len(failed)} videos could be extracted; the first, {failed[0].key}: {failed[0].reason}"
        raise DatasetError(what)
    pictures = sum(outcome.pictures for outcome in outcomes)
    return ExtractionSummary(ready, len(outcomes) - len(failed), pictures, damaged, failed, missing)


def run_jobs(jobs: list[ExtractionJob], workers: int, progress: Callable[[int, int], None]) -> list[JobResult]:
    """Extract all `jobs` in `workers` processes; whatever ends it early, no half folder stays behind."""
    # spawned, not forked: the parent may have threads (a progress bar), and FFmpeg's libraries do not survive a fork
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
    """Outcomes as they come, with at most `ahead` jobs handed out at a time."""
    pending: set[Future[JobResult]] = {pool.submit(_extract, job) for job in islice(jobs, ahead)}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
        pending |= {pool.submit(_extract, job) for job in islice(jobs, len(done))}


_stop: Event | None = None  # set once in each worker process, which has no other way to be told


def _start_worker(stop: Event) -> None:
    import signal

    import av

    global _stop
    _stop = stop
    # Ctrl-C reaches the whole group; the parent alone decides, and the workers leave through _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    av.logging.set_level(av.logging.PANIC)


def _extract(job: ExtractionJob) -> JobResult:
    from av.error import FFmpegError

    from .extract_frames import ExtractionStopped, extract_video

    stopped = _stop.is_set if _stop else lambda: False
    try:
        with suppress(OSError):
            job.folder.rmdir()  # an empty folder, left by hand, would be in the way
        extracted = extract_video(job.video, job.folder, job.rate, job.short_side, stopped)
    except (FrameError, FFmpegError) as error:
        return JobResult(job.key, 0, failure=" ".join(str(error).split()))
    except ExtractionStopped:
        return JobResult(job.key, 0, failure="stopped")
    return JobResult(job.key, extracted.pictures, extracted.damage)
