"""The raw answers of a run, one row a video, and their Parquet tables.

The probabilities of all classes stand in a table of their own, so that the table of predictions stays small to read.
Whatever is reported of a run, its totals of time and frames included, is a sum or a percentile over these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...runtime.scheduler.results import Step
from .parquet import write_table

if TYPE_CHECKING:
    import polars

PREDICTIONS = "predictions.parquet"
PROBABILITIES = "probabilities.parquet"
TIMES = (
    "latency_ms",
    "decode_ms",
    "preprocess_ms",
    "wait_ms",
    "backbone_ms",
    "head_ms",
    "scheduling_ms",
    "elapsed_ms",
)


@dataclass(frozen=True)
class Row:
    """Answer for one video; what belongs to an answer is None where the video failed.

    Times of a batch are shared out evenly over the videos in it, so that every column of times adds up to the run's.

    Attributes:
        video: its key in the data set.
        label: positions of its classes; None where the label file does not know it.
        prediction: position of the most probable class, and its ``probability``.
        exit_step: 1-based step at which it ended, after ``frames_used`` frames; of a cascade, the place of the last
            frame count tried, after the frames of all of them.
        frames_read: frames that were asked for; more than were used if some were read ahead in vain.
        frames_decoded: pictures that a decoder worked on to give them.
        frames_replaced: frames that could not be had, in whose place the data set's rule gave another one.
        scores: what the exit policy compared, step by step: the confidence of step 1, then gate values.
        gmacs: cost of all parts that ran for it, in 1e9 multiply-accumulates.
        gmacs_in_vain: its share of rows that were computed although their video had ended.
        latency_ms: from its start (when it is given a slot) to its answer, decoding included.
        decode_ms, preprocess_ms: reading its frames, on whatever thread.
        wait_ms: the engine waiting for pixels.
        backbone_ms, head_ms: the engine at work; the head is accumulator, gates and classifiers.
        scheduling_ms: everything else between two ticks.
        elapsed_ms: wall-clock time since the answer before it.
        error: why there is no answer.
        probabilities: float32 ``[classes]``, the softmax, for metrics that need all of it.
        steps: what every step came to; kept of a run that records a trace only.
    """

    video: str
    label: tuple[int, ...] | None
    prediction: int | None = None
    probability: float | None = None
    exit_step: int | None = None
    frames_used: int | None = None
    frames_read: int = 0
    frames_decoded: int = 0
    frames_replaced: int = 0
    scores: tuple[float, ...] | None = None
    gmacs: float | None = None
    gmacs_in_vain: float = 0.0
    latency_ms: float | None = None
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    wait_ms: float = 0.0
    backbone_ms: float = 0.0
    head_ms: float = 0.0
    scheduling_ms: float = 0.0
    elapsed_ms: float = 0.0
    error: str | None = None
    probabilities: NDArray[np.float32] | None = None
    steps: tuple[Step, ...] = ()


def write_tables(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``predictions.parquet`` and ``probabilities.parquet`` into ``folder``, each whole or not at all.

    Raises:
        MissingError: the disk is full.
    """
    import polars

    predictions = polars.Schema(
        {
            "video": polars.String(),
            "label": polars.List(polars.Int32),
            "prediction": polars.Int32(),
            "probability": polars.Float32(),
            "exit_step": polars.Int32(),
            "frames_used": polars.Int32(),
            "frames_read": polars.Int32(),
            "frames_decoded": polars.Int32(),
            "frames_replaced": polars.Int32(),
            "scores": polars.List(polars.Float64),
            **dict.fromkeys(("gmacs", "gmacs_in_vain"), polars.Float64()),
            **dict.fromkeys(TIMES, polars.Float64()),
            "error": polars.String(),
        }
    )
    probabilities = polars.Schema({"video": polars.String(), "probabilities": polars.List(polars.Float32)})
    for name, schema in ((PREDICTIONS, predictions), (PROBABILITIES, probabilities)):
        write_table(folder / name, _table(rows, schema))


def _table(rows: Sequence[Row], schema: polars.Schema) -> polars.DataFrame:
    import polars

    def value(row: Row, column: str) -> object:
        found = getattr(row, column)
        return polars.Series(found) if isinstance(found, np.ndarray) else found

    return polars.DataFrame({column: [value(row, column) for row in rows] for column in schema}, schema=schema)
