"""The journal of a run that goes on: a line of JSON for every video, there even if the process is killed right after.

Arrays stand in it as base64 of their bytes, so that they come back bit by bit and a trace stays small.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files import disk_error
from ...runtime.scheduler.results import Step
from .video_row import Row

_ARRAY = "float32"


def append(path: Path, row: Row) -> None:
    """Add a video.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(row), default=_encoded) + "\n")
    except OSError as error:
        raise disk_error(path, error) from None


def read(path: Path) -> Iterator[Row]:
    """Yield the videos so far; a line that the process died over is cut off first.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is damaged.
    """
    if not path.exists():
        return
    _mend(path)
    with path.open(encoding="utf-8") as journal:
        for line in journal:
            yield _row(json.loads(line, object_hook=_decoded))


def _mend(path: Path) -> None:
    """Cut off half a line at the end, or the next one would be appended to it."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _encoded(value: NDArray[np.float32]) -> dict[str, str]:
    assert value.dtype == np.float32
    assert value.ndim == 1
    return {_ARRAY: b64encode(value.tobytes()).decode()}


def _decoded(value: dict[str, Any]) -> Any:
    return np.frombuffer(b64decode(value[_ARRAY]), np.float32) if set(value) == {_ARRAY} else value


def _row(content: dict[str, Any]) -> Row:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return Row(**{**values, "steps": tuple(Step(*step) for step in values["steps"])})
