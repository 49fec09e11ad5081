"""Extract the frames of a data set's videos in parallel; safe to rerun.

A video's folder is either complete or absent, so a preparation that was stopped, killed or ran out of disk can be
restarted: existing folders are skipped. A broken video is reported and never ends the preparation; a full disk does,
because all further writes would fail. Only one preparation at a time may write to a data folder.
"""

from __future__ import annotations

import multiprocessing
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
from ...runtime.telemetry.cpus import usable_cpus
from .folder import VIDEO_EXTENSIONS
from .frameexit import LAYOUTS, FrameExitLayout, frame_folder, left_out_reason, read_annotations


class VideoProblem(NamedTuple):
    """A video with a problem, and the reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class ExtractionSummary:
    """Result of a preparation. `damaged` videos were extracted as far as they decode, `failed` ones not at all.

    `ready` counts the videos that already had frames; `missing` lists keys of the split without a video file.
    """

    ready: int
    extracted: int
    pictures: int
    damaged: tuple[VideoProblem, ...]
    failed: tuple[VideoProblem, ...]
    missing: tuple[str, ...]


class ExtractionJob(NamedTuple):
    """One video to extract, as sent to a worker process."""

    key: str
    video: Path
    folder: Path
    rate: int
    short_side: int


class JobResult(NamedTuple):
    """Result from a worker: images written, and the damage or failure if there was one."""

    key: str
    pictures: int
    damage: str | None = None
    failure: str | None = None


def get_layout(name: str) -> FrameExitLayout:
    """Return the layout of a data set whose frames can be prepared.

    Raises:
        DatasetError: there is no such data set.
    """
    if name not in LAYOUTS:
        raise DatasetError(f"data set {name!r} needs no preparation", f"choose one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def find_videos(folder: Path) -> dict[str, Path]:
    """Return video files in `folder` and its immediate subfolders (such as classes), by name without extension.

    If several files share a name, the first in the order of `VIDEO_EXTENSIONS`, then of paths, wins.

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
        name: `minikinetics` or `activitynet`, which determines rate and size.
        videos: folder of the video files, named by key (`<name>.mp4` or another known extension).
        root: the data folder, with the annotation files.
        workers: number of processes; by default one per core.
        limit: maximum number of videos to extract.
        progress: called with (videos done, videos to do).

    Raises:
        DatasetError: the annotations or the videos are missing, or no video could be extracted.
        MissingError: the disk is full or not writable.
        RunError: a worker process died.
    """
    layout = get_layout(name)
    keys = read_annotations(layout, root).keys
    files = find_videos(videos)
    waiting = [key for key in keys if left_out_reason(root, key)]
    jobs = [
        ExtractionJob(key, files[stem], frame_folder(root, key), layout.rate, layout.short_side)
        for key in waiting
        if (stem := key.removesuffix(".mp4")) in files
    ]
    missing = tuple(key for key in waiting if key.removesuffix(".mp4") not in files)
    if waiting and not jobs:
        what = f"{videos} holds none of the {len(waiting)} videos of {name} that lack frames"
        raise DatasetError(what, f"expected files such as {waiting[0]}, also in subfolders")
    outcomes = run_jobs(jobs[:limit], workers or usable_cpus(), progress)
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
    """Extract all `jobs` in `workers` processes; no partial folder remains, even if extraction stops early."""
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


def _start_worker(stop: Event) -> None:
    import signal

    import av

    global _stop
    _stop = stop
    # Ctrl-C reaches the whole group; only the parent handles it, and the workers exit through _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    av.logging.set_level(av.logging.PANIC)


def _extract(job: ExtractionJob) -> JobResult:
    from av.error import FFmpegError

    from .extract_frames import ExtractionStopped, extract_video

    stopped = _stop.is_set if _stop else lambda: False
    try:
        with suppress(OSError):
            job.folder.rmdir()  # an empty folder would block the rename
        extracted = extract_video(job.video, job.folder, job.rate, job.short_side, stopped)
    except (FrameError, FFmpegError) as error:
        return JobResult(job.key, 0, failure=" ".join(str(error).split()))
    except ExtractionStopped:
        return JobResult(job.key, 0, failure="stopped")
    return JobResult(job.key, extracted.pictures, extracted.damage)
