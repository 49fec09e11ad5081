"""Readers of the list and class files of the Frame Flexible Network's data sets.

A list has one video per line, `path num_frames label`, with labels starting at 0; a line is split from the right
because paths may contain spaces. Blank lines are skipped. Where the original fails with a Python error or silently uses
the wrong class, these readers report the file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ...errors import DatasetError
from ...input_files import is_hidden
from .annotations import read_classes, read_lines

_MAX_DIGITS = 18
_WANTED = "write 'path num_frames label' with whole numbers of at least 0"


class ListRow(NamedTuple):
    """One video in a list: its path without a leading `/`, and its location for error messages.

    `frames` is None if the list does not give the number of frames.
    """

    path: str
    frames: int | None
    label: int
    where: str


def read_list(path: Path) -> tuple[ListRow, ...]:
    """Return the videos of a list file, in file order, without accessing any frame folder.

    Raises:
        DatasetError: the file cannot be read or is empty; a line has fewer than three fields, an invalid number or a
            path with `..`; or a path is listed twice.
    """
    rows = [_row(line, f"{path}, line {number}") for number, line in enumerate(read_lines(path), start=1) if line]
    if not rows:
        raise DatasetError(f"{path} lists no videos", "write one video per line: path num_frames label")
    _require_once(rows)
    return tuple(rows)


def _row(line: str, where: str) -> ListRow:
    fields = line.rsplit(None, 2)
    if len(fields) < 3:
        raise DatasetError(f"{where}: expected 3 fields, got {len(fields)} in {line[:80]!r}", _WANTED)
    path, frames, label = fields
    for text in (frames, label):
        if not _is_whole(text):
            raise DatasetError(f"{where}: {text[:80]!r} is not a whole number", _WANTED)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise DatasetError(
            f"{where}: {path[:80]!r} does not name a folder of the data set", "remove '..' from the path"
        )
    return ListRow("/".join(parts), int(frames), int(label), where)


def _is_whole(text: str) -> bool:
    # Python refuses to convert thousands of digits.
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def _require_once(rows: Iterable[ListRow]) -> None:
    first: dict[str, str] = {}
    for row in rows:
        if row.path in first:
            raise DatasetError(
                f"{row.where}: {row.path!r} is already listed in {first[row.path]}", "list each video only once"
            )
        first[row.path] = row.where


def read_hmdb_split(folder: Path, split: int) -> tuple[tuple[ListRow, ...], tuple[str, ...]]:
    """Return the test videos and class names from HMDB51's own files `<class>_test_split<N>.txt`.

    A split has 1,530 test videos (flag 2) from 51 classes. Each line is `<name>.avi <flag>`; the path becomes
    `<class>/<name>` and the number of frames is unknown. Labels are the indices of the classes in alphabetical order,
    starting at 0: the order of `label_map.txt` and of the published `hmdb51_val_split_<N>_rawframes.txt` lists, whose
    file names the original uses. Temporal Segment Networks' own `class_list.txt` has `kick_ball` before `kick` and
    `sword_exercise` before `sword`.

    Raises:
        DatasetError: a file cannot be read, a line is malformed, or no video has flag 2.
    """
    ending = f"_test_split{split}.txt"
    files = (file.name for file in folder.glob(f"*{ending}"))
    names = sorted(name.removesuffix(ending) for name in files if not is_hidden(name))
    rows: list[ListRow] = []
    for label, name in enumerate(names):
        path = folder / f"{name}{ending}"
        for number, line in enumerate(read_lines(path), start=1):
            match = re.fullmatch(r"([^/]+)\.avi ([012])", line)
            if line and (match is None or match[1] in (".", "..")):
                what = f"{path}, line {number}: {line[:80]!r} is not a valid line of a split file"
                raise DatasetError(what, "write '<name>.avi <flag>' with the flag 0, 1 (train) or 2 (test)")
            if match and match[2] == "2":
                rows.append(ListRow(f"{name}/{match[1]}", None, label, f"{path}, line {number}"))
    if not rows:
        raise DatasetError(
            f"{folder} lists no test videos for split {split}", "use HMDB51's own files, where flag 2 means test"
        )
    _require_once(rows)
    return tuple(rows), tuple(names)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return class names in label order, from a file with one name per line or with `name number` lines.

    Something-Something V2's published `category.txt` lists names with brackets, which affect the order: `Putting
    [something] ...` precedes `Putting a ...`. Every list in use (the data set's own and AdaFuse's) numbers the names in
    the order *without* brackets, as the data set's own labels file does, so brackets are removed before sorting.

    Raises:
        DatasetError: the file cannot be read or has no class names, or its numbers are not 0, 1, 2, ... in some order.
    """
    lines = read_classes(path)
    if any("[something" in line.lower() for line in lines):
        return tuple(sorted(line.replace("[", "").replace("]", "") for line in lines))
    fields = [line.rsplit(None, 1) for line in lines if line]
    if not all(len(parts) == 2 and _is_whole(parts[1]) for parts in fields):
        return lines
    names = {int(number): name for name, number in fields}
    if sorted(names) != list(range(len(fields))):
        raise DatasetError(
            f"{path} does not assign each of the numbers 0, 1, 2, ... to exactly one class",
            "write 'name number' on each line",
        )
    return tuple(names[number] for number in range(len(names)))


def find_mismatch(rows: Iterable[ListRow], names: tuple[str, ...], class_file: str) -> DatasetError | None:
    """Return an error for the first row whose label is unknown or contradicts its class folder; None if all match.

    Kinetics and HMDB51 keep each video in a folder for its class (`images/val_256/washing_hands/...`), so a class file
    whose order differs from the list's (three are in use for Kinetics) is detected instead of yielding wrong names.
    """
    # an unnamed class, identified by its number, must not match a numeric folder name
    places = {_plain(name): place for place, name in enumerate(names) if not name.isdecimal()}
    for row in rows:
        if row.label >= len(names):
            what = f"{row.where}: label {row.label} is not one of the classes 0 to {len(names) - 1} of {class_file}"
            return DatasetError(what, "use a list and a class file from the same data set")
        folder = row.path.rpartition("/")[0].rpartition("/")[2]
        place = places.get(_plain(folder), row.label) if folder else row.label
        if place != row.label:
            what = f"{row.where}: label {row.label} contradicts the folder {folder!r}, class {place} in {class_file}"
            return DatasetError(what, "use the class file that goes with the list, or omit it")
    return None


def _plain(name: str) -> str:
    """Drop spaces and punctuation, which folder names replace (`hurling_-sport-` for `hurling (sport)`)."""
    return "".join(filter(str.isalnum, name.lower()))
