"""HVU (Holistic Video Understanding): videos with several tags each, in six categories.

The official lists have one row per clip, `Tags,youtube_id,time_start,time_end`; the same YouTube id occurs with several
times, so the key is `<id>_<start>_<end>.mp4` with whole seconds, as the official downloader names its files. mmaction2
writes tenths of a second instead: both names are accepted, one rule per folder. A row lists positive tags only. A
category without any tag in a row may be unannotated rather than negative: the default metric counts it as negative, as
FrameExit's code does, and the variant over labeled videos leaves such rows out, as mmaction2 does.

The authors of FrameExit published no reader, first threshold or frame rate for HVU. Frames are extracted as for
Mini-Kinetics, whose clips have the same length, and the first step never exits on its confidence unless given a
threshold.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ...errors import DatasetError
from ...input_files import read_text
from .annotations import LabelRow, Labels, read_lines
from .frameexit import FRAMES, Annotations, FrameExitLayout, reader
from .video_names import choose_names

CATEGORIES = {"action": 739, "attribute": 117, "concept": 291, "event": 69, "object": 1678, "scene": 248}
"""Number of tags in each category of version 1.0."""
TAG_FILE = "HVU_Tags_Categories_V1.0.csv"
_TAG_HEADER, _LIST_HEADER = "Tag,Category", "Tags,youtube_id,time_start,time_end"
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_AGAIN = "copy the official HVU file again"


def read_tags(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags and the category of each, in file order.

    Raises:
        DatasetError: the file cannot be read, a line is malformed or repeats a tag, or a file with the official name
            does not have the official numbers of tags.
    """
    found: dict[str, str] = {}
    for number, line in _rows(path, _TAG_HEADER):
        where, fields = f"{path}, line {number}", line.split(",")
        if len(fields) != 2 or not fields[0]:
            raise DatasetError(f"{where}: {line[:80]!r} is not a tag and its category", f"expected {_TAG_HEADER}")
        tag, category = fields
        if category not in CATEGORIES:
            raise DatasetError(f"{where}: {category[:80]!r} is not a category", f"expected {', '.join(CATEGORIES)}")
        if tag in found:
            raise DatasetError(f"{where}: the tag {tag!r} is already listed above", "list each tag only once")
        found[tag] = category
    counts = Counter(found.values())
    wrong = next((name for name, count in CATEGORIES.items() if counts[name] != count), None)
    if path.name == TAG_FILE and wrong is not None:  # a missing tag would shift all later classes
        what = f"{path} has {counts[wrong]} tags in category {wrong}, not {CATEGORIES[wrong]}"
        raise DatasetError(what, f"{_AGAIN}, or name a list of other tags tags.csv")
    return tuple(found), tuple(found.values())


def read_list(path: Path) -> tuple[Labels, dict[str, str]]:
    """Return the tags of every video, and its file name in tenths of a second, each by key and in file order.

    Raises:
        DatasetError: the file cannot be read or is cut off, or a row is malformed or repeats a clip.
    """
    labels: Labels = {}
    others: dict[str, str] = {}
    for number, line in _rows(path, _LIST_HEADER):
        where, fields = f"{path}, line {number}", line.split(",")
        if len(fields) != 4:
            raise DatasetError(
                f"{where}: found {len(fields)} fields in {line[:80]!r}", f"expected the 4 fields {_LIST_HEADER}"
            )
        tags, video, start, end = fields
        if not _ID.fullmatch(video):
            raise DatasetError(f"{where}: {video[:80]!r} is not an 11-character YouTube ID", _AGAIN)
        times = _seconds(start, where), _seconds(end, where)
        if times[0] >= times[1]:
            raise DatasetError(f"{where}: the end of the clip, {end}, is not after its start, {start}", _AGAIN)
        names = tuple(tags.split("|"))
        if not all(names):
            raise DatasetError(f"{where}: {tags[:80]!r} contains an empty tag", "separate tags with '|'")
        key = _name(video, *map(int, times))
        if key in labels:
            raise DatasetError(f"{where}: {key} is already listed in {labels[key].where}", "list each clip only once")
        labels[key] = LabelRow(names, where)
        others[key] = _name(video, *(int(10 * time) for time in times))
    return labels, others


def complete(annotations: Annotations) -> Annotations:
    """Add the tag categories, the videos' second file names and the names of their frame folders to the annotations.

    Raises:
        DatasetError: some frame folders follow one naming rule and some the other.
    """
    _, categories = read_tags(annotations.class_file)
    _, others = read_list(annotations.label_file)
    others = {key: others[key] for key in annotations.keys if key in others}
    folders = choose_names(annotations.root / FRAMES, others, _present(annotations.root / FRAMES))
    return replace(annotations, categories=categories, other_names=others, folders=folders)


def _labels(path: Path) -> tuple[Labels, tuple[str, ...]]:
    labels, _ = read_list(path)
    return labels, tuple(labels)


def _rows(path: Path, header: str) -> list[tuple[int, str]]:
    """Return the lines below the header with their numbers; official files quote no fields and end in a newline."""
    first, *lines = read_lines(path)
    if first != header:
        raise DatasetError(f"{path} begins with {first[:80]!r}, not with {header!r}", _AGAIN)
    if not read_text(path, "utf-8-sig").endswith("\n"):
        raise DatasetError(f"{path} is cut off partway through its last line, {(lines or [first])[-1][:80]!r}", _AGAIN)
    found = [(number, line) for number, line in enumerate(lines, start=2) if line]
    if not found:
        raise DatasetError(f"{path} lists nothing below its header", _AGAIN)
    return found


def _seconds(text: str, where: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or not 0 <= value < 10**6:
        raise DatasetError(f"{where}: {text[:80]!r} is not a time in seconds", _AGAIN)
    return value


def _name(video: str, start: int, end: int) -> str:
    return f"{video}_{start:06d}_{end:06d}.mp4"


def _present(frames: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in frames.iterdir())
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise DatasetError(f"cannot list {frames}: {error.strerror}", "check the path and its permissions") from error


HVU = FrameExitLayout(
    name="hvu",
    split_names=("split.txt",),
    label_names=("HVU_Val_V1.0.csv", "val.csv"),
    class_names=(TAG_FILE, "tags.csv"),
    split_optional=True,
    rate=5,
    short_side=256,
    metric="map",
    first_threshold=1.0,
    read_labels=_labels,
    read_classes=lambda path: read_tags(path)[0],
    complete=complete,
    output="sigmoid",
)
HVU_TRAIN = replace(
    HVU,
    name="hvu_train",
    split="training",
    split_names=("split_train.txt",),
    label_names=("HVU_Train_V1.0.csv", "train.csv"),
)
READER, TRAIN_READER = reader(HVU), reader(HVU_TRAIN)
