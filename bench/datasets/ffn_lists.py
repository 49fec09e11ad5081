"""Readers of the list and class files that the Frame Flexible Network's data sets are made of.

A list has one video a line, `path num_frames label`, label from 0, split from the right because paths hold spaces.
Blank lines are skipped. Where the original dies with a Python error, or answers about another class without a word,
these name file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ...errors import DatasetError
from .annotations import read_classes, read_lines

_WANTED = "wanted 'path num_frames label' with whole numbers from 0"


class ListRow(NamedTuple):
    """One video of a list: its path without a leading `/`, and where it stands, for messages.

    `frames` is None where the list does not say how many there are.
    """

    path: str
    frames: int | None
    label: int
    where: str


def read_list(path: Path) -> tuple[ListRow, ...]:
    """The videos of a list file, in file order. No folder is looked at.

    Raises:
        DatasetError: the file cannot be read or lists nothing, a line has fewer than three fields, a number that is
            none or a path with `..`, or a path is listed twice.
    """
    rows = [_row(line, f"{path}, line {number}") for number, line in enumerate(read_lines(path), start=1) if line]
    if not rows:
        raise DatasetError(f"{path} lists no video", "give one video a line: path num_frames label")
    _require_once(rows)
    return tuple(rows)


def _row(line: str, where: str) -> ListRow:
    fields = line.rsplit(None, 2)
    if len(fields) < 3:
        raise DatasetError(f"{where}: {len(fields)} fields in {line[:80]!r}", _WANTED)
    path, frames, label = fields
    for text in (frames, label):
        if not (text.isascii() and text.isdecimal()):
            raise DatasetError(f"{where}: {text[:80]!r} is not a whole number", _WANTED)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise DatasetError(f"{where}: {path[:80]!r} does not name a folder of the data set", "give a path without '..'")
    return ListRow("/".join(parts), int(frames), int(label), where)


def _require_once(rows: Iterable[ListRow]) -> None:
    first: dict[str, str] = {}
    for row in rows:
        if row.path in first:
            raise DatasetError(f"{row.where}: {row.path!r} stands in {first[row.path]} already", "list a video once")
        first[row.path] = row.where


def read_hmdb_split(folder: Path, split: int) -> tuple[tuple[ListRow, ...], tuple[str, ...]]:
    """Test videos (flag 2) and class names of HMDB51's own files `<class>_test_split<N>.txt`: 1,530 videos, 51 classes.

    Each line is `<name>.avi <flag>`; the path becomes `<class>/<name>` and the number of frames is not known. Labels
    are the places of the classes in alphabetical order, from 0: the order of `label_map.txt` and of the published
    `hmdb51_val_split_<N>_rawframes.txt` lists, whose name the original's has. Temporal Segment Networks' own
    `class_list.txt` has `kick_ball` before `kick` and `sword_exercise` before `sword`.

    Raises:
        DatasetError: a file cannot be read, a line is not of this form, or no video has flag 2.
    """
    ending = f"_test_split{split}.txt"
    names = sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))
    rows: list[ListRow] = []
    for label, name in enumerate(names):
        path = folder / f"{name}{ending}"
        for number, line in enumerate(read_lines(path), start=1):
            match = re.fullmatch(r"([^/]+)\.avi ([012])", line)
            if line and match is None:
                what = f"{path}, line {number}: {line[:80]!r} is no line of a split"
                raise DatasetError(what, "wanted '<name>.avi <flag>' with flag 0, 1 (train) or 2 (test)")
            if match and match[2] == "2":
                rows.append(ListRow(f"{name}/{match[1]}", None, label, f"{path}, line {number}"))
    if not rows:
        raise DatasetError(
            f"{folder} lists no test video of split {split}", "give HMDB51's own files, with flag 2 = test"
        )
    _require_once(rows)
    return tuple(rows), tuple(names)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names in the order of the labels, from a file of one name a line or of `name number` lines.

    Something-Something V2's published `category.txt` has its names with brackets, sorted so that `Putting [something]
    ...` precedes `Putting a ...`; the labels of every list in use (its own, AdaFuse's) number the names sorted
    *without* brackets, as in the data set's own labels file. So brackets are taken off and those names are sorted.

    Raises:
        DatasetError: the file cannot be read, names no class, or its numbers are not 0, 1, 2, ... in some order.
    """
    lines = read_classes(path)
    if any("[something" in line.lower() for line in lines):
        return tuple(sorted(line.replace("[", "").replace("]", "") for line in lines))
    fields = [line.rsplit(None, 1) for line in lines if line]
    if not all(len(parts) == 2 and parts[1].isascii() and parts[1].isdecimal() for parts in fields):
        return lines
    names = {int(number): name for name, number in fields}
    if sorted(names) != list(range(len(fields))):
        raise DatasetError(f"{path} does not number its classes from 0, each once", "give 'name number' lines")
    return tuple(names[number] for number in range(len(names)))


def find_mismatch(rows: Iterable[ListRow], names: tuple[str, ...], class_file: str) -> DatasetError | None:
    """The first row whose label is no class of `names`, or whose class folder says another class; None if all fit.

    Kinetics and HMDB51 keep a video in a folder of its class (`images/val_256/washing_hands/...`), so a class file in
    another order than the list's (three are in use for Kinetics) is found out instead of giving wrong names.
    """
    # a class without a name, called by its number, must not be taken for a folder that is a number
    places = {_plain(name): place for place, name in enumerate(names) if not name.isdecimal()}
    for row in rows:
        if row.label >= len(names):
            what = f"{row.where}: label {row.label} is none of the {len(names)} classes (from 0) of {class_file}"
            return DatasetError(what, "use the list and the class file of the same data set")
        folder = row.path.rpartition("/")[0].rpartition("/")[2]
        place = places.get(_plain(folder), row.label) if folder else row.label
        if place != row.label:
            what = f"{row.where}: label {row.label} for the folder {folder!r}, which is class {place} in {class_file}"
            return DatasetError(what, "use the class file that belongs to the list, or none")
    return None


def _plain(name: str) -> str:
    """Spelling apart from blanks and marks, which folders have replaced (`hurling_-sport-` for `hurling (sport)`)."""
    return "".join(filter(str.isalnum, name.lower()))
