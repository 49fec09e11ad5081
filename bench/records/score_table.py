"""The table of all classes' probabilities, ``probabilities.parquet``: its description, its writer and its reader.

A large table is written and read in row groups. With a ``top_k``, it contains only the most probable classes of each
video and lists them in an extra column; metrics that need all classes reject it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...json_file import JsonError, parse_json
from ...runtime.bundle.manifest import Output
from ..stats.tag_precision import Scores
from .parquet import read_groups, read_metadata, write_groups, write_table
from .stored_scores import IN_MEMORY, collect_scores
from .table_check import MOST_PROBABLE, Column, check_table
from .video_row import VideoRow

if TYPE_CHECKING:
    import polars

PROBABILITIES = "probabilities.parquet"
COLUMNS = {
    "video": Column("text", unique=True),
    "probabilities": Column("numbers", null=True, most=MOST_PROBABLE, nan=True),
}
UNANSWERED = -1.0
"""Score of a video without a prediction: below every probability."""
_METADATA = "vbench.probabilities"
_AGAIN = "run it again"
_GROUP_CELLS = 1_000_000  # in a row group: 4 MB


@dataclass(frozen=True)
class ScoreInfo:
    """Description of the table of probabilities; the default applies to tables that have no description.

    Attributes:
        output: function that turned the logits into probabilities.
        categories: the category of every class, if the metric has categories.
        top_k: number of classes in the table for each video; None for all.
    """

    output: Output = "softmax"
    categories: tuple[str, ...] | None = None
    top_k: int | None = None

    def metadata(self) -> dict[str, str] | None:
        """Return the entry for the footer of the table; None for the default."""
        return None if self == ScoreInfo() else {_METADATA: json.dumps(asdict(self))}


def read_info(run: Path) -> ScoreInfo:
    """Return the description of the table of probabilities in the folder ``run``; the default if there is no table.

    Raises:
        RunError: the table is not readable.
    """
    path = run / PROBABILITIES
    if not path.is_file():
        return ScoreInfo()
    text = read_metadata(path, _METADATA, _AGAIN)
    if not text:
        return ScoreInfo()
    try:
        content: dict[str, Any] = parse_json(text)
        categories = content["categories"]
        info = ScoreInfo(content["output"], None if categories is None else tuple(categories), content["top_k"])
    except (JsonError, KeyError, TypeError):
        info = None
    known = info is not None and info.output in ("softmax", "sigmoid") and isinstance(info.top_k, int | None)
    if info is None or not known or not all(isinstance(name, str) for name in info.categories or ()):
        raise RunError(f"{path} is not a valid table of probabilities: its metadata is damaged", _AGAIN)
    return info


def write_probabilities(folder: Path, rows: Sequence[VideoRow], info: ScoreInfo) -> None:
    """Write the probabilities of all videos, in row groups if there are many.

    Raises:
        MissingError: the disk is full.
    """
    import polars

    columns: dict[str, Any] = {"video": polars.String()}
    if info.top_k is not None:
        columns["classes"] = polars.List(polars.Int32)
    schema = polars.Schema({**columns, "probabilities": polars.List(polars.Float32)})
    classes = next((len(row.probabilities) for row in rows if row.probabilities is not None), 1)
    size = max(1, _GROUP_CELLS // classes)
    if len(rows) * classes <= IN_MEMORY:
        write_table(folder / PROBABILITIES, _table(rows, schema, info.top_k), info.metadata())
        return

    def pieces() -> Iterator[polars.DataFrame]:
        group: list[VideoRow] = []
        for row in rows:
            group.append(row)
            if len(group) == size:
                yield _table(group, schema, info.top_k)
                group = []
        if group:
            yield _table(group, schema, info.top_k)

    write_groups(folder / PROBABILITIES, schema, pieces, size, info.metadata())


def _table(rows: Sequence[VideoRow], schema: polars.Schema, top_k: int | None) -> polars.DataFrame:
    import polars

    values: dict[str, list[Any]] = {name: [] for name in schema}
    for row in rows:
        found = row.probabilities
        values["video"].append(row.video)
        if found is not None and top_k is not None:
            best = np.argsort(-found, kind="stable")[:top_k]  # ties go to the first class
            values["classes"].append(polars.Series(best.astype(np.int32)))
            found = found[best]
        elif top_k is not None:
            values["classes"].append(None)
        values["probabilities"].append(None if found is None else polars.Series(found))
    return polars.DataFrame(values, schema=schema)


def read_scores(run: Path, videos: Sequence[str], classes: int, info: ScoreInfo) -> Scores:
    """Return the probabilities of ``videos``, which are the run's videos in any order; see ``UNANSWERED``.

    Raises:
        RunError: the table is missing, not readable, contains only some of the classes, or does not match the videos.
    """
    path = run / PROBABILITIES
    if info.top_k is not None:
        raise RunError(
            f"{path} holds only the {info.top_k} most probable classes of each video, but mAP needs all of them",
            "run it again without --top-k",
        )
    if not path.is_file():
        raise RunError(f"{path} does not exist", "pass finished runs")
    names: list[str] = []
    scores = collect_scores(_chunks(path, classes, names), len(videos), classes)
    row = {name: number for number, name in enumerate(names)}
    if len(row) != len(videos) or not row.keys() >= set(videos):
        raise RunError(f"{path} does not match the videos of the run", _AGAIN)
    return scores.select(np.array([row[video] for video in videos], np.int64))


def _chunks(path: Path, classes: int, names: list[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities of a table ``[k, classes]``, and add the names of its videos to ``names``."""
    for table in read_groups(path, max(1, _GROUP_CELLS // classes), _AGAIN):
        check_table(path, "table of probabilities", table, COLUMNS, _AGAIN, empty=True)
        names += table["video"].to_list()
        known = table["probabilities"].is_not_null().to_numpy()
        found = table["probabilities"].drop_nulls()
        chunk = np.full((len(table), classes), UNANSWERED, np.float32)
        if len(found):
            if set(found.list.len().unique().to_list()) != {classes}:
                raise RunError(f"{path} does not hold {classes} probabilities for every video", _AGAIN)
            chunk[known] = found.explode().to_numpy().reshape(-1, classes)
        yield chunk
