"""Append-only JSONL journal of an in-progress run; each video is durable as soon as it is appended.

Arrays are stored as base64, which keeps them bit-exact and traces small. Only this module reads or writes
``journal.jsonl``.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...files import disk_error, whole_file
from ...json_file import parse_json
from ...runtime.scheduler.results import Step
from .row_check import row_problem
from .video_row import VideoRow

_JOURNAL = "journal.jsonl"
_ARRAY = "float32"
_IN_MEMORY = 200_000_000  # maximum size in bytes of a journal whose rows are kept in memory


def append(run: Path, row: VideoRow) -> None:
    """Append a video to the journal in the run folder ``run``.

    Raises:
        MissingError, UsageError: the journal cannot be written.
    """
    path = run / _JOURNAL
    try:
        with open(path, "a", encoding="utf-8", opener=_open_no_link) as journal:
            journal.write(_line(row))
    except OSError as error:
        raise disk_error(path, error) from None


def read(run: Path) -> Iterator[VideoRow]:
    """Yield every recorded video once, after truncating any line left incomplete by a killed process.

    A line that repeats an earlier one is skipped. The caller must hold the run's lock.

    Raises:
        RunError: the journal is damaged, or has two different results for one video.
        MissingError, UsageError: the journal cannot be read or truncated.
    """
    return (row for row, _ in _read(run / _JOURNAL))


def read_all(run: Path, place: Mapping[str, int]) -> Sequence[VideoRow]:
    """Return the recorded videos, sorted by their ``place``. Rows of a large journal are read on demand.

    Raises:
        RunError: see `read`.
        MissingError, UsageError: see `read`.
    """
    path = run / _JOURNAL
    if not path.is_file() or path.stat().st_size <= _IN_MEMORY:
        return sorted(read(run), key=lambda row: place[row.video])
    starts = sorted((place[row.video], start) for row, start in _read(path))
    return _JournalRows(path, [start for _, start in starts])


class _JournalRows(Sequence[VideoRow]):
    """Rows of a journal, given the positions where they start; a row is read again whenever it is used."""

    def __init__(self, path: Path, starts: Sequence[int]) -> None:
        self._path, self._starts = path, starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> VideoRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[VideoRow]: ...

    def __getitem__(self, index: int | slice) -> VideoRow | Sequence[VideoRow]:
        if isinstance(index, slice):
            return _JournalRows(self._path, self._starts[index])
        return next(iter(_JournalRows(self._path, [self._starts[index]])))

    def __iter__(self) -> Iterator[VideoRow]:
        with self._path.open("rb") as file:
            for start in self._starts:
                file.seek(start)
                yield _row(parse_json(file.readline(), _decode_array))


def _read(path: Path) -> Iterator[tuple[VideoRow, int]]:
    """Yield the rows of `read`, each with the position of its line."""
    seen: dict[str, tuple[int, int]] = {}  # line number and line hash of each video
    end = 0
    for number, line in enumerate(_whole_lines(path), start=1):
        start, end = end, end + len(line)
        try:
            row = _row(parse_json(line, _decode_array))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise RunError(f"{path}: line {number} is damaged", "start a new run") from None
        first, content = seen.setdefault(row.video, (number, hash(line)))
        if first == number:
            yield row, start
        elif content != hash(line):
            what = f"{path}: lines {first} and {number} hold different results for {row.video}"
            raise RunError(what, "remove one of the two lines, or start a new run")


def exists(run: Path) -> bool:
    """Return whether the run in the folder ``run`` is in progress, or was interrupted."""
    return (run / _JOURNAL).is_file()


def rewrite(run: Path, rows: Sequence[VideoRow]) -> None:
    """Atomically replace the journal's contents with ``rows``.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    with whole_file(run / _JOURNAL) as temporary, temporary.open("w", encoding="utf-8") as journal:
        journal.writelines(_line(row) for row in rows)


def remove(run: Path) -> None:
    """Remove the journal of a finished run."""
    (run / _JOURNAL).unlink(missing_ok=True)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the complete lines, and truncate an incomplete last one, so that the next is not appended to it."""
    try:
        with open(path, "r+b", opener=_open_no_link) as file:
            start = 0
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(start)
                    return
                start += len(line)
                yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(path, error) from None


def _open_no_link(path: str, flags: int) -> int:
    """Open the journal without following a link, because one in a copied run folder may point elsewhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _line(row: VideoRow) -> str:
    return json.dumps(asdict(row), default=_encode_array) + "\n"


def _encode_array(value: NDArray[np.float32]) -> dict[str, str]:
    assert value.dtype == np.float32
    assert value.ndim == 1
    return {_ARRAY: b64encode(value.tobytes()).decode()}


def _decode_array(value: dict[str, Any]) -> Any:
    return np.frombuffer(b64decode(value[_ARRAY]), np.float32) if set(value) == {_ARRAY} else value


def _row(content: dict[str, Any]) -> VideoRow:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    row = VideoRow(**{**values, "steps": tuple(Step(*step) for step in values["steps"])})
    if problem := row_problem(row):
        raise ValueError(problem)
    return row
