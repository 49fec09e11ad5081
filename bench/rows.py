"""The raw answers of a run, one row a video, and their Parquet tables.

The probabilities of all classes stand in a table of their own, so that the table of predictions stays small to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.files import whole_file

if TYPE_CHECKING:
    import polars

PREDICTIONS = "predictions.parquet"
PROBABILITIES = "probabilities.parquet"


@dataclass(frozen=True)
class Row:
    """Answer for one video; everything but ``video``, ``label`` and ``error`` is None where the video failed.

    Attributes:
        video: its key in the data set.
        label: positions of its classes; None where the label file does not know it.
        prediction: position of the most probable class, and its ``probability``.
        exit_step: 1-based step at which it ended, after ``frames_used`` frames.
        gmacs: cost of all parts that ran, in 1e9 multiply-accumulates.
        latency_ms: from asking for the first frame to the answer, decoding included.
        error: why there is no answer.
        probabilities: the softmax over all classes, for metrics that need all of it.
    """

    video: str
    label: tuple[int, ...] | None
    prediction: int | None = None
    probability: float | None = None
    exit_step: int | None = None
    frames_used: int | None = None
    gmacs: float | None = None
    latency_ms: float | None = None
    error: str | None = None
    probabilities: tuple[float, ...] | None = None


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
            "gmacs": polars.Float64(),
            "latency_ms": polars.Float64(),
            "error": polars.String(),
        }
    )
    probabilities = polars.Schema({"video": polars.String(), "probabilities": polars.List(polars.Float32)})
    for name, schema in ((PREDICTIONS, predictions), (PROBABILITIES, probabilities)):
        with whole_file(folder / name) as temporary:
            _table(rows, schema).write_parquet(temporary)


def _table(rows: Sequence[Row], schema: polars.Schema) -> polars.DataFrame:
    import polars

    return polars.DataFrame({column: [getattr(row, column) for row in rows] for column in schema}, schema=schema)
