"""Check a data set before use: annotation files, frames, labels and class names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import DatasetError
from . import ffn, ffn_files
from .annotations import class_positions
from .frameexit import Annotations, FrameExitLayout, missing_files, read_annotations
from .registry import frame_layouts


@dataclass(frozen=True)
class MissingFile:
    """A missing annotation file, and its accepted names."""

    kind: str
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class DataCheck:
    """Result of a check.

    `videos` is the number of videos in the split, `ready` the number of those with frames, and `classes` the number of
    classes; the other fields list keys or names.

    If an annotation file is missing (`missing_files`), nothing else is checked. Videos excluded by the data set's own
    rules (`left_out`: too few frames) are not missing.
    """

    name: str
    root: Path
    videos: int
    ready: int
    missing_files: tuple[MissingFile, ...]
    missing: tuple[str, ...]
    unlabelled: tuple[str, ...]
    unknown_classes: tuple[str, ...]
    classes: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the whole data set can be used. An empty label list, as ActivityNet has for some videos, is valid."""
        return not (self.missing_files or self.missing or self.unlabelled or self.unknown_classes)


def checked() -> tuple[str, ...]:
    """Return the names of the data sets that can be checked."""
    return (*frame_layouts(), *ffn_files.LAYOUTS)


def require_checkable(name: str) -> str:
    """Return `name` if it is a data set that can be checked.

    Raises:
        DatasetError: the data set is unknown or cannot be checked.
    """
    if name not in checked():
        raise DatasetError(f"data set {name!r} has no files to check", f"choose one of {', '.join(checked())}")
    return name


def check_data(name: str, root: Path) -> DataCheck:
    """Check the data set `name` in `root`.

    Raises:
        DatasetError: there is no such data set, or an annotation file cannot be read.
    """
    if require_checkable(name) in ffn_files.LAYOUTS:
        return _check_ffn(ffn_files.LAYOUTS[name], root)
    return _check_frameexit(frame_layouts()[name], root)


def _incomplete(name: str, root: Path, files: tuple[MissingFile, ...]) -> DataCheck:
    return DataCheck(name, root, 0, 0, files, (), (), ())


def _check_frameexit(layout: FrameExitLayout, root: Path) -> DataCheck:
    """Check a FrameExit data set: its split, label and class files."""
    files = tuple(MissingFile(kind, names) for kind, names in missing_files(layout, root))
    if files:
        return _incomplete(layout.name, root, files)
    annotations = read_annotations(layout, root)
    keys = annotations.keys
    missing = tuple(key for key in keys if annotations.left_out_reason(key))
    unlabelled = tuple(key for key in keys if key not in annotations.labels)
    unknown = _unknown_classes(annotations)
    ready, classes = len(keys) - len(missing), len(annotations.class_names)
    return DataCheck(layout.name, root, len(keys), ready, (), missing, unlabelled, unknown, classes)


def _check_ffn(layout: ffn_files.FFNLayout, root: Path) -> DataCheck:
    """Check a Frame Flexible Network data set: a single list with labels; it is rejected if a label is not a class."""
    if ffn_files.find_list(layout, root) is None:
        return _incomplete(layout.name, root, (MissingFile("list file", layout.lists),))
    listing = ffn_files.read_listing(layout, root)
    videos, left_out = ffn.find_videos(listing)
    missing = tuple(video.key for video in left_out if video.reason == ffn.NO_FOLDER)
    short = tuple(video.key for video in left_out if video.reason != ffn.NO_FOLDER)
    classes = len(listing.class_names)
    return DataCheck(layout.name, root, len(listing.rows), len(videos), (), missing, (), (), classes, short)


def _unknown_classes(annotations: Annotations) -> tuple[str, ...]:
    known = class_positions(annotations.class_names)
    rows = (annotations.labels[key] for key in annotations.keys if key in annotations.labels)
    return tuple(sorted({name for row in rows for name in row.names if name not in known}))
