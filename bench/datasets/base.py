"""Data set interface: named classes, and labeled videos in a fixed order.

Data sets decode nothing; every video opens its own frames on demand. Nothing is dropped silently: a video in the split
that cannot be used is listed in `left_out` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ...names import name_key, valid_text
from ...runtime.bundle.manifest import Output
from ...runtime.video.source import FrameSource

Metric = Literal["top1", "map"]
VALIDATION = "validation"


@dataclass(frozen=True)
class Video:
    """One video: its key, its sorted class indices, and a function that opens its frames.

    `classes` is () for a video without labels, and None for one that the label file does not list, which is an error
    once the video is processed (see `label_row`). `label_file` names that file in the error message.
    """

    key: str
    classes: tuple[int, ...] | None
    open: Callable[[], FrameSource]
    label_file: str = "the label file"


@dataclass(frozen=True)
class LeftOut:
    """A video in the split that cannot be used, and the reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """A validation set: videos in processing order (sorted by key).

    `class_names` has one name per class index ("" for a blank line of the class file). `metric` is the data set's
    metric. `first_threshold` is the confidence above which FrameExit's first step exits on this data set, if
    FrameExit's authors chose one; other networks ignore it. `split` names the split that the videos come from; None if
    only the user knows it. `output` is what networks for this data set compute from logits: a softmax, or a sigmoid for
    tags that are not mutually exclusive. `categories` gives the category of every class, if classes have one; such a
    data set uses the metric in `stats/tag_precision.py`.
    """

    name: str
    class_names: tuple[str, ...]
    videos: tuple[Video, ...]
    left_out: tuple[LeftOut, ...]
    metric: Metric
    first_threshold: float | None = None
    split: str | None = VALIDATION
    output: Output = "softmax"
    categories: tuple[str, ...] | None = None

    def with_valid_names(self) -> Dataset:
        """Return this data set with keys and class names that are valid Unicode; see `name_key`."""
        return replace(
            self,
            class_names=tuple(map(name_key, self.class_names)),
            videos=tuple(replace(video, key=name_key(video.key)) for video in self.videos),
            left_out=tuple(LeftOut(name_key(left.key), valid_text(left.reason)) for left in self.left_out),
        )

    def renumber_classes(self, names: Sequence[str]) -> Dataset:
        """Return this data set with its classes renumbered by their index in `names`, the network's class names.

        Raises:
            DatasetError: a class of the data set is not among `names`.
        """
        place = {name: number for number, name in enumerate(names)}
        used = {number for video in self.videos for number in video.classes or ()}
        unknown = [self.class_names[number] for number in sorted(used) if self.class_names[number] not in place]
        if unknown:
            what = f"{self.name}: the network does not know the class {unknown[0]!r}"
            raise DatasetError(what, "use a network that was trained on this data set")
        categories = None if self.categories is None else self._renumber_categories(self.categories, names)
        videos = tuple(replace(video, classes=self._renumber(video.classes, place)) for video in self.videos)
        return replace(self, class_names=tuple(names), videos=videos, categories=categories)

    def _renumber_categories(self, categories: tuple[str, ...], names: Sequence[str]) -> tuple[str, ...]:
        known = dict(zip(self.class_names, categories))
        foreign = [name for name in names if name not in known]
        if foreign:
            what = f"{self.name} does not have the network's class {foreign[0]!r}, which would have no category"
            raise DatasetError(what, "use a network that was trained on this data set")
        return tuple(known[name] for name in names)

    def _renumber(self, classes: tuple[int, ...] | None, place: Mapping[str, int]) -> tuple[int, ...] | None:
        return None if classes is None else tuple(sorted(place[self.class_names[number]] for number in classes))


def label_row(video: Video, class_count: int) -> NDArray[np.float32]:
    """Return the video's labels as a multi-hot row, float32 [class_count].

    Raises:
        DatasetError: the label file has no row for the video, or the network has fewer classes than the data set.
    """
    if video.classes is None:
        raise DatasetError(f"video {video.key} has no label in {video.label_file}", "add one to that file")
    if video.classes and video.classes[-1] >= class_count:
        what = f"video {video.key} has class {video.classes[-1]}, but the network has only {class_count} classes"
        raise DatasetError(what, "use the class file that goes with the network")
    row = np.zeros(class_count, dtype=np.float32)
    row[list(video.classes)] = 1.0
    return row
