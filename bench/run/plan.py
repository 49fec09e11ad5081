"""Determine which videos a run covers, and which of them remain after an interruption.

A run covers the videos that its data set had when it was started. If the data set has changed since, resuming requires
explicit permission, because the accuracy would be that of a different set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import RunError
from ..datasets import Video
from ..records.planned import UNCHANGED, DatasetChanges, Planned, compare_planned
from ..records.run_folder import UnfinishedRun
from .setup import RunSetup


@dataclass(frozen=True)
class RunPlan:
    """The videos of a run.

    Attributes:
        order: keys of all videos that have or will get a row, in the order of the tables.
        remaining: videos to run.
        changes: changes to the data set since the run was started.
    """

    order: tuple[str, ...]
    remaining: tuple[Video, ...]
    changes: DatasetChanges = UNCHANGED


def all_videos(setup: RunSetup) -> RunPlan:
    """Return the plan for a new run."""
    videos = _videos(setup)
    return RunPlan(tuple(video.key for video in videos), videos)


def planned_videos(setup: RunSetup) -> Planned:
    """Return the class indices of each video in a new run, by key."""
    return _classes(_videos(setup))


def remaining_videos(setup: RunSetup, unfinished: UnfinishedRun, allow_changed: bool) -> RunPlan:
    """Return the plan for a resumed run.

    Args:
        setup: setup of the run, with its current data set.
        unfinished: the run as recorded in its folder.
        allow_changed: finish with the remaining videos if the data set has changed.

    Raises:
        RunError: the data set has changed and ``allow_changed`` is false, labels have changed, or a result belongs to
            a video that is not in the run.
    """
    path, done = unfinished.folder.path, unfinished.done
    current = _classes(_videos(setup))
    planned = current if unfinished.planned is None else unfinished.planned
    foreign = sorted(done - planned.keys())
    if foreign:
        what = f"{path} has a result for {foreign[0]}, which is not one of its videos"
        raise RunError(what, "restore the data set, or start a new run")
    changes = compare_planned(planned, current)
    _check(setup, unfinished, changes, allow_changed)
    videos = {video.key: video for video in setup.dataset.videos}
    order = tuple(key for key in planned if key in done or key in videos)
    return RunPlan(order, tuple(videos[key] for key in order if key not in done), changes)


def _check(setup: RunSetup, unfinished: UnfinishedRun, changes: DatasetChanges, allow_changed: bool) -> None:
    if not changes or (allow_changed and not changes.relabeled):
        return
    what = f"the data set {setup.dataset.name} has changed since {unfinished.folder.path} was started: {changes}"
    if changes.relabeled:
        raise RunError(what, "restore the labels, or start a new run")
    raise RunError(what, "restore the data set, or add --allow-changed-dataset to finish with the remaining videos")


def _videos(setup: RunSetup) -> tuple[Video, ...]:
    return setup.dataset.videos[: setup.config.data.limit]


def _classes(videos: Sequence[Video]) -> Planned:
    return {video.key: video.classes for video in videos}
