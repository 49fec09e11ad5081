"""Choose between two naming rules of video files, for data sets whose official tools name them differently."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ...errors import DatasetError


def choose_names(folder: Path, names: Mapping[str, str], present: Collection[str]) -> Mapping[str, str]:
    """Return the names of a folder's files that follow the second rule, by their names under the first; {} if none do.

    One rule holds for the whole folder: the one that more of its files follow.

    Args:
        folder: the folder, for the error.
        names: the second name of every video, by its first.
        present: the names in the folder.

    Raises:
        DatasetError: some files follow only the first rule and some only the second, or as many follow either.
    """
    first = {name for name in names if name in present}
    second = {name for name in names.values() if name in present}
    # A name may be that of one video by the first rule and that of another by the second.
    alone, alone_second = first - second, second - first
    if (alone and alone_second) or (first and len(first) == len(second)):
        example, other = sorted(alone or first)[0], sorted(alone_second or second)[0]
        raise DatasetError(
            f"{folder} holds names with times in seconds ({example}) and in tenths of a second ({other})",
            "keep the files of one naming rule there",
        )
    return names if len(second) > len(first) else {}
