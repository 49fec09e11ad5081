"""Whether a data set is ready to be used, before an hour is spent on it: files, frames, labels and class names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .datasets.annotations import class_positions
from .datasets.frameexit import Annotations, left_out_reason, missing_files, read_annotations
from .prepare import layout_named


@dataclass(frozen=True)
class MissingFile:
    """An annotation file that is not there, and the names under which it would be found."""

    kind: str
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class DataCheck:
    """What a data folder holds. `videos` counts the split, `ready` those of it with frames; the rest are keys or names.

    If an annotation file is missing (`missing_files`) nothing else was looked at.
    """

    name: str
    root: Path
    videos: int
    ready: int
    missing_files: tuple[MissingFile, ...]
    missing: tuple[str, ...]
    unlabelled: tuple[str, ...]
    unknown_classes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the data set can be used whole. Videos labelled with nothing are part of ActivityNet's rules."""
        return not (self.missing_files or self.missing or self.unlabelled or self.unknown_classes)


def check_data(name: str, root: Path) -> DataCheck:
    """Look at the data set `name` in `root`.

    Raises:
        DatasetError: there is no such data set, or an annotation file cannot be read.
    """
    layout = layout_named(name)
    files = tuple(MissingFile(kind, names) for kind, names in missing_files(layout, root))
    if files:
        return DataCheck(name, root, 0, 0, files, (), (), ())
    annotations = read_annotations(layout, root)
    keys = annotations.keys
    missing = tuple(key for key in keys if left_out_reason(root, key))
    unlabelled = tuple(key for key in keys if key not in annotations.labels)
    ready = len(keys) - len(missing)
    return DataCheck(name, root, len(keys), ready, (), missing, unlabelled, _unknown_classes(annotations))


def _unknown_classes(annotations: Annotations) -> tuple[str, ...]:
    known = class_positions(annotations.class_names)
    rows = (annotations.labels[key] for key in annotations.keys if key in annotations.labels)
    return tuple(sorted({name for row in rows for name in row.names if name not in known}))
