"""Choose between two naming rules for video files, for data sets whose official tools name them differently."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ...errors import DatasetError


def choose_names(folder: Path, names: Mapping[str, str], present: Collection[str]) -> Mapping[str, str]:
    """Return ``names`` if a folder's files follow the second rule, {} if they follow the first or are absent.

    One rule applies to the whole folder: the one that more of its files follow.

    Args:
        folder: the folder, for the error.
        names: every video's name under the second rule, by its name under the first.
        present: the names in the folder.

    Raises:
        DatasetError: some files follow only the first rule and some only the second, or equally many follow each.
    """
    first = {name for name in names if name in present}
    second = {name for name in names.values() if name in present}
    # One name may stand for one video under the first rule and for another under the second.
    alone, alone_second = first - second, second - first
    if (alone and alone_second) or (first and len(first) == len(second)):
        example, other = sorted(alone or first)[0], sorted(alone_second or second)[0]
        raise DatasetError(
            f"{folder} holds names with times in seconds ({example}) and in tenths of a second ({other})",
            "keep only the files that follow one of these rules",
        )
    return names if len(second) > len(first) else {}
