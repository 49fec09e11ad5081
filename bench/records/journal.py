"""Append-only JSONL journal of an in-progress run; each video is durable as soon as it is appended.

Arrays are stored as base64, which keeps them bit-exact and traces small. Only this module reads or writes
``journal.jsonl``.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...files import disk_error, whole_file
from ...runtime.scheduler.results import Step
from .video_row import VideoRow

_JOURNAL = "journal.jsonl"
_ARRAY = "float32"


def append(run: Path, row: VideoRow) -> None:
    """Append a video to the journal in the run folder ``run``.

    Raises:
        MissingError, UsageError: the journal cannot be written.
    """
    path = run / _JOURNAL
    try:
        with path.open("a", encoding="utf-8") as journal:
            journal.write(_line(row))
    except OSError as error:
        raise disk_error(path, error) from None


def read(run: Path) -> Iterator[VideoRow]:
    """Yield the recorded videos, after truncating a line left incomplete by a killed process.

    Raises:
        RunError: the journal is damaged.
    """
    path = run / _JOURNAL
    if not path.exists():
        return
    _drop_partial_line(path)
    with path.open(encoding="utf-8") as journal:
        for number, line in enumerate(journal, start=1):
            try:
                yield _row(json.loads(line, object_hook=_decode_array))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise RunError(f"{path}: line {number} is damaged", "start a new run") from None


def exists(run: Path) -> bool:
    """Return whether the run in the folder ``run`` is in progress, or was interrupted."""
    return (run / _JOURNAL).is_file()


def rewrite(run: Path, rows: Sequence[VideoRow]) -> None:
    """Replace the journal by ``rows``, atomically.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    with whole_file(run / _JOURNAL) as temporary, temporary.open("w", encoding="utf-8") as journal:
        journal.writelines(_line(row) for row in rows)


def remove(run: Path) -> None:
    """Remove the journal of a finished run."""
    (run / _JOURNAL).unlink(missing_ok=True)


def _drop_partial_line(path: Path) -> None:
    """Truncate an incomplete last line, so that the next one is not appended to it."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


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
    return VideoRow(**{**values, "steps": tuple(Step(*step) for step in values["steps"])})
