"""Scores of many videos and classes in a temporary file, read in blocks: 0.4 GB for HVU, 4 GB for a trace over it.

The file has no name, so it disappears when the process ends. It is created in the folder for temporary files
(``$TMPDIR``).
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...files import disk_error
from ..stats.tag_precision import ArrayScores

IN_MEMORY = 32_000_000
"""Maximum number of scores that are kept in memory: 128 MB."""
_ITEM = 4


class ScoreFile:
    """Rows of ``classes`` scores, float32, in a temporary file."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._folder = Path(tempfile.gettempdir())
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - open as long as this object
        except OSError as error:
            raise disk_error(self._folder, error) from None
        weakref.finalize(self, self._file.close)

    def append(self, rows: NDArray[np.float32]) -> None:
        """Append rows ``[k, classes]``.

        Raises:
            MissingError: the disk is full.
        """
        try:
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
            self._file.flush()
        except OSError as error:
            raise disk_error(self._folder, error) from None

    def read(self, rows: NDArray[np.int64], start: int, stop: int) -> NDArray[np.float32]:
        """Return the scores of the classes from ``start`` to ``stop`` in these rows, ``[k, stop - start]``."""
        found = np.empty((len(rows), stop - start), np.float32)
        descriptor = self._file.fileno()
        for target, row in zip(found, rows.tolist()):
            os.preadv(descriptor, [target.data], _ITEM * (row * self.classes + start))
        return found


@dataclass(frozen=True)
class StoredScores:
    """Scores of n videos in a file, video i in row ``rows[i]``; see `Scores`."""

    file: ScoreFile
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.file.classes

    def columns(self, start: int, stop: int) -> NDArray[np.float32]:
        return self.file.read(self.rows, start, stop)

    def select(self, videos: NDArray[np.int64]) -> StoredScores:
        return replace(self, rows=self.rows[videos])


def collect_scores(chunks: Iterable[NDArray[np.float32]], videos: int, classes: int) -> ArrayScores | StoredScores:
    """Return the scores of ``videos`` videos from chunks ``[k, classes]``: in memory, or in a file if there are many.

    Raises:
        MissingError: the disk is full.
    """
    if videos * classes <= IN_MEMORY:
        parts = list(chunks)
        return ArrayScores(np.concatenate(parts) if parts else np.empty((0, classes), np.float32))
    file = ScoreFile(classes)
    for chunk in chunks:
        file.append(chunk)
    return StoredScores(file, np.arange(videos))
