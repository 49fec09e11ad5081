"""The videos that an unfinished run covers, recorded so that a changed data set is detected on resuming.

Only this module reads or writes ``planned.json``, which is removed with the journal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import RunError
from ...input_files import read_file
from ...json_file import parse_json

_PLANNED = "planned.json"
_SHOWN = 3  # names shown in a message

# Class indices by key; None for a video that the label file does not list.
Planned = Mapping[str, tuple[int, ...] | None]


@dataclass(frozen=True)
class DatasetChanges:
    """Differences between the videos of an unfinished run and its current data set, by key."""

    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    relabeled: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.relabeled)

    def __str__(self) -> str:
        texts = (
            _named(self.removed, "is missing", "are missing"),
            _named(self.added, "is new", "are new"),
            _named(self.relabeled, "has different labels", "have different labels"),
        )
        return ", ".join(filter(None, texts))

    def record(self) -> dict[str, list[str]]:
        """Return the keys of the missing and the new videos as JSON."""
        return {"removed": list(self.removed), "added": list(self.added)}


UNCHANGED = DatasetChanges()


def compare_planned(planned: Planned, current: Planned) -> DatasetChanges:
    """Return the differences between the ``planned`` and the ``current`` videos."""
    return DatasetChanges(
        removed=tuple(key for key in planned if key not in current),
        added=tuple(key for key in current if key not in planned),
        relabeled=tuple(key for key in planned if key in current and planned[key] != current[key]),
    )


def write(run: Path, planned: Planned) -> None:
    """Record the videos of a run, in order, in the new folder ``run``.

    Raises:
        OSError: the file cannot be written.
    """
    (run / _PLANNED).write_text(json.dumps(planned) + "\n", encoding="utf-8")


def read(run: Path) -> Planned | None:
    """Return the videos of the unfinished run in the folder ``run``; None if an earlier version started it.

    Raises:
        RunError: the file is damaged.
    """
    path = run / _PLANNED
    try:
        content = parse_json(read_file(path))
        return {key: None if classes is None else tuple(map(int, classes)) for key, classes in content.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError):
        raise RunError(f"{path} is damaged", "start a new run") from None


def remove(run: Path) -> None:
    """Remove the file of a finished run."""
    (run / _PLANNED).unlink(missing_ok=True)


def _named(keys: tuple[str, ...], one: str, several: str) -> str:
    if not keys:
        return ""
    names = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    return f"{len(keys)} {'video' if len(keys) == 1 else 'videos'} {one if len(keys) == 1 else several} ({names})"
