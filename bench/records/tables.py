"""The Parquet tables of a run: predictions, and the probabilities of all classes. Only this module accesses them.

The probabilities form a separate table, so that the table of predictions stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import RunError
from .parquet import read_table, write_table
from .score_table import COLUMNS, PROBABILITIES, ScoreInfo, write_probabilities
from .table_check import MOST_PROBABLE, Column, check_table
from .video_row import TIMES, VideoRow

if TYPE_CHECKING:
    import polars

PREDICTIONS = "predictions.parquet"


# Schemas for checking the tables; ``write_tables`` declares the types that they are written with. In runs from earlier
# versions, probabilities and scores may be NaN.
_PREDICTIONS = {
    "video": Column("text", unique=True),
    "label": Column("integers", null=True),
    "prediction": Column("integer", null=True),
    "probability": Column("number", null=True, most=MOST_PROBABLE, nan=True),
    "exit_step": Column("integer", null=True, least=1),
    "frames_used": Column("integer", null=True, least=1),
    **dict.fromkeys(("frames_read", "frames_decoded", "frames_replaced"), Column("integer")),
    "scores": Column("numbers", null=True, least=None, nan=True),
    "gmacs": Column("number", null=True),
    "gmacs_wasted": Column("number"),
    **{name: Column("number", null=name == "latency_ms") for name in TIMES},
    "error": Column("text", null=True),
}


def has_predictions(run: Path) -> bool:
    """Return whether the run folder ``run`` contains a table of predictions, as finished runs do."""
    return (run / PREDICTIONS).is_file()


def has_probabilities(run: Path) -> bool:
    """Return whether the run folder ``run`` contains the probabilities of all classes."""
    return (run / PROBABILITIES).is_file()


def read_predictions(run: Path, columns: Sequence[str] | None = None) -> polars.DataFrame:
    """Return the predictions of the run in the folder ``run``: one row per video, with the columns of `VideoRow`.

    Raises:
        RunError: the table is missing, unreadable, or lacks one of ``columns`` (all, if None).
    """
    return _read(run / PREDICTIONS, _PREDICTIONS, columns)


def read_any_predictions(run: Path) -> polars.DataFrame:
    """Return the predictions of a run of any version, unchecked, with the columns of that version.

    Raises:
        RunError: the table is missing or unreadable.
    """
    return _read_file(run / PREDICTIONS)


def read_probabilities(run: Path) -> polars.DataFrame:
    """Return the columns ``video`` and ``probabilities``, one row per video: float32 ``[classes]``, null if it failed.

    Raises:
        RunError: the table is missing or unreadable.
    """
    return _read(run / PROBABILITIES, COLUMNS, tuple(COLUMNS))


def _read(file: Path, schema: Mapping[str, Column], columns: Sequence[str] | None) -> polars.DataFrame:
    wanted = dict(schema) if columns is None else {name: schema.get(name, Column("text")) for name in columns}
    table = _read_file(file)
    check_table(file, f"table of {file.stem}", table, wanted, "repeat the run", empty=True)
    return table if columns is None else table.select(columns)


def _read_file(file: Path) -> polars.DataFrame:
    if not file.is_file():
        raise RunError(f"{file} does not exist", "pass a finished run")
    return read_table(file, "repeat the run")


def write_tables(folder: Path, rows: Sequence[VideoRow], info: ScoreInfo | None = None) -> None:
    """Write ``predictions.parquet`` and ``probabilities.parquet`` into ``folder``, each atomically.

    ``info`` describes the probabilities; None stands for a softmax over all classes.

    Raises:
        MissingError: the disk is full.
    """
    write_table(folder / PREDICTIONS, prediction_table(rows))
    write_probabilities(folder, rows, info or ScoreInfo())


def prediction_table(rows: Sequence[VideoRow]) -> polars.DataFrame:
    """Return the table of predictions, one row per video."""
    import polars

    schema = polars.Schema(
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
            **dict.fromkeys(("gmacs", "gmacs_wasted"), polars.Float64()),
            **dict.fromkeys(TIMES, polars.Float64()),
            "error": polars.String(),
        }
    )
    light = [row.without_arrays() for row in rows]
    cells = {column: [getattr(row, column) for row in light] for column in schema}
    return polars.DataFrame(cells, schema=schema)
