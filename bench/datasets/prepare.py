"""Extract the frames of a data set's videos in parallel; safe to rerun.

A video's folder is either complete or absent, so a preparation that was stopped or killed, or that ran out of disk
space, can be restarted: existing folders are skipped. A broken video is reported but never ends the preparation; a full
disk does, because all further writes would fail. Only one preparation at a time can use a data folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import DatasetError
from ...runtime.telemetry.cpus import usable_cpus
from .extraction_workers import ExtractionJob, JobResult, run_jobs
from .folder import VIDEO_EXTENSIONS
from .frameexit import FRAMES, Annotations, FrameExitLayout, read_annotations
from .prepared_folder import lock_frames
from .registry import frame_layouts
from .video_names import choose_names

_FOLDER_HINT = "pass the folder that contains the videos"


class VideoProblem(NamedTuple):
    """A problem with one video: the video's key and the reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class ExtractionSummary:
    """Result of a preparation. `damaged` videos were extracted as far as possible, `failed` ones not at all.

    `ready` counts the videos that already had frames; `missing` lists the keys in the split that have no video file.
    """

    ready: int
    extracted: int
    pictures: int
    damaged: tuple[VideoProblem, ...]
    failed: tuple[VideoProblem, ...]
    missing: tuple[str, ...]


def get_layout(name: str) -> FrameExitLayout:
    """Return the layout of a data set whose frames can be prepared.

    Raises:
        DatasetError: there is no such data set.
    """
    layouts = frame_layouts()
    if name not in layouts:
        raise DatasetError(f"data set {name!r} needs no preparation", f"choose one of {', '.join(layouts)}")
    return layouts[name]


def find_videos(folder: Path) -> dict[str, list[Path]]:
    """Return the video files in `folder` and its immediate subfolders (one per class, for example), by stem.

    Extensions are matched case-insensitively. If several files share a stem, they are listed in the order of their
    paths.

    Raises:
        DatasetError: the folder cannot be listed.
    """
    files: dict[str, list[Path]] = {}
    try:
        for path in sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern)):
            if path.suffix.lower() in VIDEO_EXTENSIONS and not path.is_dir():
                files.setdefault(path.stem, []).append(path)
    except OSError as error:
        raise DatasetError(f"cannot list {folder}: {error.strerror}", _FOLDER_HINT) from error
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", _FOLDER_HINT)
    return files


def prepare(
    name: str,
    videos: Path,
    root: Path,
    workers: int | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExtractionSummary:
    """Extract frames into `root/frames/<key>` for every video in the split that has none yet.

    Args:
        name: a data set with a layout, which determines the rate and the image size.
        videos: folder of the video files, named by key (`<name>.mp4` or another known extension).
        root: the data folder, with the annotation files.
        workers: number of processes; by default one per core.
        limit: maximum number of videos to extract.
        progress: called with the numbers of videos (done, in total).

    Raises:
        DatasetError: the annotations or the videos are missing, or no videos could be extracted.
        MissingError: the disk is full or not writable.
        RunError: a worker process died, or another process is preparing the data set.
    """
    layout = get_layout(name)
    annotations = read_annotations(layout, root)
    keys = annotations.keys
    files = _files_by_key(annotations, videos)
    with lock_frames(root / FRAMES):
        waiting = [key for key in keys if annotations.left_out_reason(key)]
        found = {key: files[key] for key in waiting if key in files}
        missing = tuple(key for key in waiting if key not in found)
        if waiting and not found:
            what = f"{videos} contains none of the {len(waiting)} videos of {name} that lack frames"
            raise DatasetError(what, f"pass a folder with files such as {waiting[0]}, possibly in subfolders")
        outcomes = [JobResult(key, 0, failure=_same_name(paths)) for key, paths in found.items() if len(paths) > 1]
        jobs = [
            ExtractionJob(key, paths[0], annotations.frame_folder(key), layout.rate, layout.short_side)
            for key, paths in found.items()
            if len(paths) == 1
        ]
        outcomes += run_jobs(jobs[:limit], workers or usable_cpus(), progress)
    return _summary(len(keys) - len(waiting), outcomes, missing)


def _files_by_key(annotations: Annotations, videos: Path) -> dict[str, list[Path]]:
    files = find_videos(videos)
    keys = annotations.keys
    others = choose_names(videos, {_stem(key): _stem(name) for key, name in annotations.other_names.items()}, files)
    names = {key: others.get(_stem(key), _stem(key)) for key in keys}
    return {key: files[name] for key, name in names.items() if name in files}


def _stem(key: str) -> str:
    return key[:-4] if key.lower().endswith(".mp4") else key


def _same_name(paths: list[Path]) -> str:
    return f"several files have the video's name ({', '.join(map(str, paths))}); remove all but one"


def _summary(ready: int, outcomes: list[JobResult], missing: tuple[str, ...]) -> ExtractionSummary:
    outcomes.sort()
    failed = tuple(VideoProblem(outcome.key, outcome.failure) for outcome in outcomes if outcome.failure)
    damaged = tuple(VideoProblem(outcome.key, outcome.damage) for outcome in outcomes if outcome.damage)
    if failed and len(failed) == len(outcomes) and not ready:
        what = f"none of the {len(failed)} videos could be extracted; {failed[0].key} failed: {failed[0].reason}"
        raise DatasetError(what)
    pictures = sum(outcome.pictures for outcome in outcomes)
    return ExtractionSummary(ready, len(outcomes) - len(failed), pictures, damaged, failed, missing)
