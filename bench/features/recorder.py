"""Record the features of a run: shards while it runs, the table and the header at its end.

Features are stored for every video with a prediction in the journal, in journal order, 512 videos to a shard. A video
is in the journal before its shard is written, so an interrupted recording continues after the last full shard:
`FeatureRecorder.resume` drops later videos from the journal, and they run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...runtime.policies.confidence import softmax
from ...runtime.scheduler.results import ClipResult
from ..records import journal
from ..records.video_row import VideoRow
from .features_file import (
    FOLDER,
    SHARD_VIDEOS,
    FeaturesHeader,
    complete_shards,
    describe_shards,
    write_index,
    write_shard,
)
from .losses import LOSSES

if TYPE_CHECKING:
    import polars

_LARGEST = float(np.finfo(np.float16).max)


class FeatureRecorder:
    """Writes the features of the run in the folder ``run``; ``header`` describes them."""

    def __init__(self, run: Path, header: FeaturesHeader) -> None:
        self._folder, self._header = run / FOLDER, header
        self._shard = complete_shards(self._folder)
        self._states: list[NDArray[np.float16]] = []

    @classmethod
    def resume(cls, run: Path) -> frozenset[str]:
        """Drop the videos after the last full shard from the journal, and return those that remain.

        Raises:
            RunError: the journal is damaged, or has fewer videos than the shards.
        """
        kept, answered = [], SHARD_VIDEOS * complete_shards(run / FOLDER)
        for row in journal.read(run):
            if not answered:
                break
            kept.append(row)
            answered -= row.error is None
        if answered:
            raise RunError(
                f"{run / FOLDER} contains shards of videos that are missing from the journal", "start a new run"
            )
        journal.rewrite(run, kept)
        return frozenset(row.video for row in kept)

    def add(self, result: ClipResult) -> None:
        """Add the states of a clip whose row is in the journal; write the shard once it is full.

        Raises:
            MissingError, UsageError: the shard cannot be written.
        """
        if result.error is None:
            self._states.append(np.stack(result.states).astype(np.float16))
            if len(self._states) == SHARD_VIDEOS:
                self._flush()

    def finish(self, rows: Iterable[VideoRow]) -> None:
        """Write the last shard, the table and the header; ``rows`` are the journal's rows, in journal order.

        Raises:
            MissingError, UsageError: a file cannot be written.
        """
        answered = [row for row in rows if row.error is None]
        self._flush()
        shards = describe_shards(self._folder, len(answered))
        write_index(self._folder, replace(self._header, shards=shards), _table(answered, self._header))

    def _flush(self) -> None:
        if self._states:
            write_shard(self._folder, self._shard, np.stack(self._states))
            self._shard, self._states = self._shard + 1, []


def checked(result: ClipResult, video: str) -> ClipResult:
    """Return the result, or one with an error instead if a state does not fit in float16."""
    for step, state in enumerate(result.states, start=1):
        if not bool((np.abs(state) <= _LARGEST).all()):  # also false for a NaN
            error = RunError(
                f"video {video}: the features of step {step} are not finite, or above {_LARGEST:g}",
                "check the checkpoint, or exclude the video",
            )
            return replace(result, prediction=None, error=error, steps=())
    return result


def _table(rows: list[VideoRow], header: FeaturesHeader) -> polars.DataFrame:
    import polars

    logits = [np.stack([step.logits for step in row.steps if step.logits is not None]) for row in rows]
    labels = [row.label or () for row in rows]
    right = [np.isin(each.argmax(axis=1), label) for each, label in zip(logits, labels)]
    measure = LOSSES[header.loss]
    columns: dict[str, tuple[list[Any], Any]] = {
        "key": ([row.video for row in rows], polars.String()),
        "label": ([list(label) for label in labels], polars.List(polars.Int32)),
        "loss": ([measure(each, label).tolist() for each, label in zip(logits, labels)], polars.List(polars.Float32)),
        "confidence": ([float(softmax(each[0]).max()) for each in logits], polars.Float32()),
        "right": ([each.tolist() for each in right], polars.List(polars.Boolean)),
        "shard": ([place // SHARD_VIDEOS for place in range(len(rows))], polars.Int32()),
        "row": ([place % SHARD_VIDEOS for place in range(len(rows))], polars.Int32()),
    }
    return polars.DataFrame([polars.Series(name, values, dtype) for name, (values, dtype) in columns.items()])
