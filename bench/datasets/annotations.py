"""Readers of the split, class and label files of FrameExit's data sets.

They accept the same input as the original readers (`tests/golden/dataset_cases.json` contains the originals' output for
small files) and return the same keys and indices. Where the originals fail with a Python error, these readers report
the file, line and label. Blank lines in a split or label file are skipped; in a class file a blank line uses up an
index, as in the original.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ...errors import DatasetError
from ...input_files import read_text
from ...json_file import read_json

# ".../<name> <frames> <class>", as in the lists of AdaFuse and OCSampler
_LIST_LINE = re.compile(r"(?:.*/)?(\S+) \d+ \d+")
_TIMES = re.compile(r"_\d{6,}_\d{6,}\.mp4$")
_ACTIVITYNET = "copy ActivityNet's activity_net.v1-3.min.json again"
_CSV_FIELDS = "label,youtube_id,time_start,time_end,split,is_cc"


class LabelRow(NamedTuple):
    """Class names of one video, and the file and line that list them, for error messages."""

    names: tuple[str, ...]
    where: str


Labels = dict[str, LabelRow]


def read_lines(path: Path) -> list[str]:
    """Return the stripped lines of a text file.

    Raises:
        DatasetError: the file cannot be read or is not UTF-8 text.
    """
    try:
        return [line.strip() for line in read_text(path, "utf-8-sig").removesuffix("\n").split("\n")]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text", "copy the original annotation file again") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the class names in a file, one per line, in index order; trailing blank lines are dropped.

    Raises:
        DatasetError: the file cannot be read or contains no class names.
    """
    names = read_lines(path)
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DatasetError(f"{path} has no class names", "write one class name per line")
    return tuple(names)


def class_positions(names: tuple[str, ...]) -> dict[str, int]:
    """Return the index of every class name; a repeated name gets its last index, as in the original."""
    return {name: position for position, name in enumerate(names) if name}


def read_split(path: Path) -> tuple[str, ...]:
    """Return video keys in file order, repeats included; a line `.../<name> <number> <number>` means `<name>.mp4`.

    Raises:
        DatasetError: the file cannot be read, is empty, or contains a key that is a path.
    """
    keys = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line:
            continue
        match = _LIST_LINE.fullmatch(line)
        key = f"{match[1]}.mp4" if match else line
        if "/" in key or "\\" in key or key in (".", ".."):
            what = f"{path}, line {number}: {key!r} is not a video key"
            raise DatasetError(what, "write '<name>.mp4' or '.../<name> <number> <number>'")
        keys.append(key)
    if not keys:
        raise DatasetError(f"{path} lists no videos", "write one video per line")
    return tuple(keys)


def complete_keys(keys: tuple[str, ...], labels: Labels) -> tuple[str, ...]:
    """Complete keys that are bare YouTube IDs (as in OCSampler's list) with the times from the label file."""
    by_id = {match.string[: match.start()]: key for key in labels if (match := _TIMES.search(key))}
    return tuple(key if key in labels else by_id.get(key.removesuffix(".mp4"), key) for key in keys)


def read_kinetics_labels(path: Path) -> Labels:
    """Return the labels from a file of lines `label,youtube_id,time_start,time_end,split,is_cc` below a header line.

    The key is `<id>_<start>_<end>.mp4` with whole seconds padded to six digits; if a key is repeated, the last row
    wins. Double quotes around a label are removed; a comma inside quotes is an error, as in the original.

    Raises:
        DatasetError: the file cannot be read or a row does not have exactly six fields.
    """
    labels: Labels = {}
    for number, line in enumerate(read_lines(path)[1:], start=2):
        if not line:
            continue
        fields = line.split(",")
        if len(fields) != 6:
            what = f"{path}, line {number}: expected 6 fields, got {len(fields)} in {line[:80]!r}"
            raise DatasetError(what, f"write the fields {_CSV_FIELDS}, without a comma inside a label")
        label, video, start, end = fields[:4]
        name = label[1:-1] if label.startswith('"') and label.endswith('"') else label
        labels[f"{video}_{_seconds(start)}_{_seconds(end)}.mp4"] = LabelRow((name,), f"{path}, line {number}")
    return labels


def _seconds(text: str) -> str:
    return text.split(".")[0].zfill(6)


def read_activitynet_labels(path: Path) -> tuple[Labels, tuple[str, ...]]:
    """Return the labels of every entry of an ActivityNet JSON (key `v_<id>.mp4`), and the validation subset's keys.

    A video gets the labels of all its annotations: several, repeated ones, or none at all.

    Raises:
        DatasetError: the file cannot be read or does not have the expected layout.
    """
    database = read_json(path, DatasetError, _ACTIVITYNET).get("database")
    if not isinstance(database, dict):
        raise DatasetError(f"{path} has no 'database' entry", _ACTIVITYNET)
    labels: Labels = {}
    validation: list[str] = []
    for video, entry in database.items():
        try:
            names = tuple(str(annotation["label"]) for annotation in entry["annotations"])
            subset = entry["subset"]
        except (KeyError, TypeError) as error:
            what = f"{path}: entry {video!r} lacks 'subset', 'annotations', or the 'label' of an annotation"
            raise DatasetError(what, _ACTIVITYNET) from error
        labels[f"v_{video}.mp4"] = LabelRow(names, f"{path}, entry {video!r}")
        if subset == "validation":
            validation.append(f"v_{video}.mp4")
    return labels, tuple(validation)
