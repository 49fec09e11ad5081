"""Record the features of a run: shards while it runs, the table and the header at its end.

Features are stored for every video with a prediction in the journal, in journal order, 512 videos to a shard. A video
is in the journal before its shard is written, so an interrupted recording continues after the last full shard:
`FeatureRecorder.resume` drops later videos from the journal, and they run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...runtime.policies.confidence import probabilities_of
from ...runtime.scheduler.results import ClipResult, Step
from ..records import journal
from ..records.video_row import VideoRow
from .features_file import FOLDER, FeaturesHeader, write_index
from .losses import LOSSES
from .shards import LOGITS, SHARD_VIDEOS, STATES, complete_shards, describe_shards, write_shard

if TYPE_CHECKING:
    import polars

_LARGEST = float(np.finfo(np.float16).max)


class FeatureRecorder:
    """Writes the features of the run in the folder ``run``; ``header`` describes them."""

    def __init__(self, run: Path, header: FeaturesHeader) -> None:
        self._folder, self._header = run / FOLDER, header
        self._shard = complete_shards(self._folder, header.kinds)
        self._waiting: dict[str, list[NDArray[np.float16]]] = {kind: [] for kind in header.kinds}

    @classmethod
    def resume(cls, run: Path, header: FeaturesHeader) -> frozenset[str]:
        """Drop the videos after the last full shard from the journal, and return those that remain.

        Raises:
            RunError: the journal is damaged, or has fewer videos than the shards.
        """
        kept, answered = [], SHARD_VIDEOS * complete_shards(run / FOLDER, header.kinds)
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
        if result.error is not None:
            return
        self._waiting[STATES].append(np.stack(result.states).astype(np.float16))
        if LOGITS in self._waiting:
            # Logits beyond float16 become equal, and equal scores enter an average precision together.
            logits = np.clip(_logits(result.steps), -_LARGEST, _LARGEST)
            self._waiting[LOGITS].append(logits.astype(np.float16))
        if len(self._waiting[STATES]) == SHARD_VIDEOS:
            self._flush()

    def finish(self, rows: Iterable[VideoRow]) -> None:
        """Write the last shard, the table and the header; ``rows`` are the journal's rows, in journal order.

        Raises:
            MissingError, UsageError: a file cannot be written.
        """
        found = [_entry(row, self._header) for row in rows if row.error is None]
        self._flush()
        shards = {kind: describe_shards(self._folder, len(found), kind) for kind in self._header.kinds}
        header = replace(self._header, shards=shards[STATES], logits=shards.get(LOGITS, ()))
        write_index(self._folder, header, _table(found))

    def _flush(self) -> None:
        if self._waiting[STATES]:
            for kind, values in self._waiting.items():
                write_shard(self._folder, self._shard, np.stack(values), kind)
                values.clear()
            self._shard += 1


def checked(result: ClipResult, video: str) -> ClipResult:
    """Return the result; if a state does not fit in float16, return one with an error instead."""
    for step, state in enumerate(result.states, start=1):
        if not bool((np.abs(state) <= _LARGEST).all()):  # also false for a NaN
            error = RunError(
                f"video {video}: the features of step {step} are not finite, or above {_LARGEST:g}",
                "check the checkpoint, or exclude the video",
            )
            return replace(result, prediction=None, error=error, steps=())
    return result


class _Entry(NamedTuple):
    # A row of the table without its place; logits of many videos and tags would not fit in memory.
    key: str
    label: list[int]
    loss: list[float]
    confidence: float
    right: list[bool]


def _entry(row: VideoRow, header: FeaturesHeader) -> _Entry:
    logits, label = _logits(row.steps), row.label or ()
    loss = LOSSES[header.loss](logits, label, header.categories)
    confidence = float(probabilities_of(logits[0], header.output).max())
    return _Entry(row.video, list(label), loss.tolist(), confidence, np.isin(logits.argmax(axis=1), label).tolist())


def _logits(steps: Iterable[Step]) -> NDArray[np.float32]:
    return np.stack([step.logits for step in steps if step.logits is not None])


def _table(entries: list[_Entry]) -> polars.DataFrame:
    import polars

    types: dict[str, Any] = {
        "key": polars.String(),
        "label": polars.List(polars.Int32),
        "loss": polars.List(polars.Float32),
        "confidence": polars.Float32(),
        "right": polars.List(polars.Boolean),
    }
    columns = [polars.Series(name, [getattr(each, name) for each in entries], dtype) for name, dtype in types.items()]
    places = np.arange(len(entries), dtype=np.int32)
    shard, row = (polars.Series(n, v) for n, v in zip(("shard", "row"), np.divmod(places, np.int32(SHARD_VIDEOS))))
    return polars.DataFrame([*columns, shard, row])
