"""The data sets of FrameExit's published evaluation code, read exactly as that code reads them.

Each is a folder `frames/<video key>/*.jpeg` next to a split file, a class file and a label file. A video in the split
without frames is left out (silently in the original, counted here). A class name that is not in the class file is an
error only for videos in the split. Videos are processed in sorted key order. `vbench data prepare` extracts the
frames. A data set of the same form is a `FrameExitLayout` with its own readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...errors import DatasetError, FrameError
from ...runtime.bundle.manifest import Output
from ...runtime.video.image_file import image_names
from ...runtime.video.source import FolderFrames
from .annotations import (
    Labels,
    class_positions,
    complete_keys,
    read_activitynet_labels,
    read_classes,
    read_kinetics_labels,
    read_split,
)
from .base import VALIDATION, Dataset, LeftOut, Metric, Video
from .registry import PILLOW, FolderDataset

FRAME_NAMES = (".jpeg",)
FRAMES = "frames"


@dataclass(frozen=True)
class FrameExitLayout:
    """Accepted names of a data set's files, in order of preference, and the parameters of its frame extraction.

    `rate` is in frames per second, `short_side` in pixels. With `split_optional`, every entry of the label file that is
    in `split` forms the split if there is no split file. `read_labels` returns the labels of a label file and the keys
    of those entries; `complete` adds to the annotations what only this data set has. See `Dataset` for `metric` and
    `output`.
    """

    name: str
    split_names: tuple[str, ...]
    label_names: tuple[str, ...]
    class_names: tuple[str, ...]
    split_optional: bool
    rate: int
    short_side: int
    metric: Metric
    first_threshold: float
    read_labels: Callable[[Path], tuple[Labels, tuple[str, ...]]]
    read_classes: Callable[[Path], tuple[str, ...]] = read_classes
    complete: Callable[[Annotations], Annotations] = lambda annotations: annotations
    output: Output = "softmax"
    split: str = VALIDATION


MINIKINETICS = FrameExitLayout(
    name="minikinetics",
    split_names=("split.txt", "mini_val_videofolder.txt", "mini_kinetics_val.txt"),
    label_names=("kinetics_val.csv", "labels.csv"),
    class_names=("classes.txt", "minik_classInd.txt"),
    split_optional=False,
    rate=5,
    short_side=256,
    metric="top1",
    first_threshold=0.95,
    read_labels=lambda path: (read_kinetics_labels(path), ()),
)
ACTIVITYNET = FrameExitLayout(
    name="activitynet",
    split_names=("split.txt",),
    label_names=("activity_net.v1-3.min.json", "labels.json", "anet_val_rebuilt.json"),
    class_names=("classes.txt",),
    split_optional=True,
    rate=1,
    short_side=350,
    metric="map",
    first_threshold=0.99,
    read_labels=read_activitynet_labels,
)


@dataclass(frozen=True)
class Annotations:
    """Contents of a data set's annotation files, not yet checked against the frames.

    `split` keeps the order and the repeats of the file; `keys` are its distinct keys in sorted order. `categories` has
    the category of every class, if classes have one. `other_names` maps the key of a video to its second valid file
    name, and `folders` to its frame folder if that is not named after the key.
    """

    root: Path
    split: tuple[str, ...]
    labels: Labels
    class_names: tuple[str, ...]
    label_file: Path
    class_file: Path
    categories: tuple[str, ...] | None = None
    other_names: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The distinct video keys in the split, sorted: the order in which videos are processed."""
        return tuple(sorted(set(self.split)))

    def classes(self, key: str) -> tuple[int, ...] | None:
        """Return the sorted class indices of a video; None if the label file has no row for it.

        Raises:
            DatasetError: one of its labels is not in the class file.
        """
        row = self.labels.get(key)
        if row is None:
            return None
        positions = class_positions(self.class_names)
        unknown = [name for name in row.names if name not in positions]
        if unknown:
            what = f"{row.where}: label {unknown[0]!r} of video {key} is not in {self.class_file}"
            raise DatasetError(what, "use label and class files from the same data set")
        return tuple(sorted({positions[name] for name in row.names}))

    def frame_folder(self, key: str) -> Path:
        """Return the frame folder of a video."""
        return self.root / FRAMES / self.folders.get(key, key)

    def left_out_reason(self, key: str) -> str | None:
        """Return why a video cannot be used (the original skips it silently), or None if it has frames."""
        folder = self.frame_folder(key)
        try:
            if not folder.is_dir():
                return "no frame folder"
        except OSError as error:  # such as an overlong name
            return f"no frame folder: {error.strerror}"
        try:
            return None if image_names(folder, FRAME_NAMES) else "no .jpeg files in its frame folder"
        except FrameError as error:
            return str(error)


def find_file(root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of `names` that is a file in `root`."""
    return next((root / name for name in names if (root / name).is_file()), None)


def missing_files(layout: FrameExitLayout, root: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the kinds of annotation files missing from `root`, each with its accepted names."""
    wanted = [("label file", layout.label_names), ("class file", layout.class_names)]
    if not layout.split_optional:
        wanted.insert(0, ("split file", layout.split_names))
    return tuple((kind, names) for kind, names in wanted if find_file(root, names) is None)


def read_annotations(layout: FrameExitLayout, root: Path) -> Annotations:
    """Return the contents of the split, label and class files in `root`.

    Raises:
        DatasetError: one is missing or cannot be read.
    """
    split_file = find_file(root, layout.split_names)
    if split_file is None and not layout.split_optional:
        raise _lacks(layout, root, "split file", layout.split_names)
    label_file = find_file(root, layout.label_names)
    if label_file is None:
        raise _lacks(layout, root, "label file", layout.label_names)
    class_file = find_file(root, layout.class_names)
    if class_file is None:
        raise _lacks(layout, root, "class file", layout.class_names)
    labels, validation = layout.read_labels(label_file)
    split = complete_keys(read_split(split_file), labels) if split_file else validation
    if not split:
        raise DatasetError(
            f"{label_file} has no {layout.split} entries", f"add a {layout.split_names[0]} with one video key per line"
        )
    for key in split:
        if "/" in key or "\\" in key:  # keys name folders; those from a split are checked, those from labels are not
            raise DatasetError(f"{label_file}: {key[:80]!r} is not a video key", "copy the original label file again")
    return layout.complete(Annotations(root, split, labels, layout.read_classes(class_file), label_file, class_file))


def _lacks(layout: FrameExitLayout, root: Path, kind: str, names: tuple[str, ...]) -> DatasetError:
    return DatasetError(f"{root} has no {kind} for {layout.name}", f"put one of {', '.join(names)} there")


def load(layout: FrameExitLayout, root: Path) -> Dataset:
    """Return the data set in `root` without opening frames.

    Raises:
        DatasetError: an annotation file is missing or invalid, a video in the split has a label that is not in the
            class file, or no videos have frames.
    """
    annotations = read_annotations(layout, root)
    videos: list[Video] = []
    left_out: list[LeftOut] = []
    for key in annotations.keys:
        classes = annotations.classes(key)
        reason = annotations.left_out_reason(key)
        if reason:
            left_out.append(LeftOut(key, reason))
        else:
            source = partial(FolderFrames, annotations.frame_folder(key), FRAME_NAMES)
            videos.append(Video(key, classes, source, str(annotations.label_file)))
    if not videos:
        what = f"none of the {len(left_out)} videos of {layout.name} has frames in {root / FRAMES}"
        raise DatasetError(what, f"run 'vbench data prepare {layout.name} --videos DIR --data {root}'")
    return Dataset(
        layout.name,
        annotations.class_names,
        tuple(videos),
        tuple(left_out),
        layout.metric,
        layout.first_threshold,
        layout.split,
        layout.output,
        annotations.categories,
    )


def reader(layout: FrameExitLayout) -> FolderDataset:
    """Return the registry member for a layout."""
    return FolderDataset(partial(load, layout), layout.first_threshold, (PILLOW,), layout.output, layout)


MINIKINETICS_READER, ACTIVITYNET_READER = reader(MINIKINETICS), reader(ACTIVITYNET)
