"""Files of recorded features: float16 shards, a small table, and a header that ties them to a network.

The folder ``features`` of a run contains ``z_00000.npy``, ... (float16 ``[videos, steps, hidden]``, up to 512 videos
each); for a sigmoid, also ``logits_00000.npy``, ... (``[videos, steps, classes]``); ``videos.parquet`` with a row per
video; and ``header.json``, which is written last: without it the recording is incomplete. The header has the digest of
every shard.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ...errors import RunError
from ...files import whole_file
from ...json_file import first_problem, read_json
from ...runtime.bundle.manifest import Output
from ..records import journal
from ..records.parquet import read_table, write_table
from .losses import BINARY_CROSS_ENTROPY, LOSSES
from .shards import AGAIN, LOGITS, STATES, Shard, check_shard, map_shard, shard_name

if TYPE_CHECKING:
    import polars

SCHEMA_VERSION = 1
FOLDER, HEADER, TABLE = "features", "header.json", "videos.parquet"


@dataclass(frozen=True)
class FeaturesHeader:
    """Origin of recorded features.

    Attributes:
        trunk_sha256: digest of all tensors of the network except the gates'.
        first_threshold: default confidence above which step 1 exits.
        loss: name of the loss in ``losses.LOSSES``.
        categories: the category of every class, if the loss depends on it.
        shards: files of the states; ``logits`` are those of the logits, () for a softmax.
    """

    bundle: str
    bundle_sha256: str
    network: str
    trunk_sha256: str
    engine: str
    precision: str
    dataset: str
    split: str
    loss: str
    classes: int
    steps: int
    hidden: int
    frame_order: tuple[int, ...]
    preprocessing: dict[str, Any]
    first_threshold: float
    class_names: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    shards: tuple[Shard, ...] = ()
    logits: tuple[Shard, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def output(self) -> Output:
        """What turns the logits into probabilities; it determines the loss."""
        return "sigmoid" if self.loss == BINARY_CROSS_ENTROPY else "softmax"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of shards of the recording."""
        return (STATES, LOGITS) if self.output == "sigmoid" else (STATES,)


@dataclass(frozen=True)
class Features:
    """Recorded features of n videos, in the order of the shards.

    Attributes:
        keys: names of the videos; ``labels`` are their class indices, () for a video without one.
        losses: float32 ``[n, steps]``, NaN for a video without a label.
        confidences: float32 ``[n]``, the top probability of step 1.
        right: bool ``[n, steps]``, whether the top class is one of the labels.
    """

    folder: Path
    header: FeaturesHeader
    keys: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    losses: NDArray[np.float32]
    confidences: NDArray[np.float32]
    right: NDArray[np.bool_]

    def states(self, shard: int) -> NDArray[np.float16]:
        """Return the states of a shard as a memory map, float16 ``[videos, steps, hidden]``."""
        return map_shard(self.folder, self.header.shards[shard])

    def logits(self, shard: int) -> NDArray[np.float16]:
        """Return the logits of a shard as a memory map, float16 ``[videos, steps, classes]``; only for a sigmoid."""
        return map_shard(self.folder, self.header.logits[shard])


def write_index(folder: Path, header: FeaturesHeader, table: polars.DataFrame) -> None:
    """Write the table, and then the header that completes the recording.

    Raises:
        MissingError, UsageError: a file cannot be written.
    """
    write_table(folder / TABLE, table)
    with whole_file(folder / HEADER) as temporary:
        temporary.write_text(json.dumps(asdict(header), indent=1) + "\n", encoding="utf-8")


def read_features(path: Path) -> Features:
    """Read the features of a run folder, or of its subfolder ``features``, and verify every shard.

    Raises:
        RunError: they are missing or incomplete, a file is missing, truncated, altered or from another recording, or a
            value is not finite.
    """
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    header = _read_header(folder)
    features = _features(folder, header, _table(folder / TABLE))
    for shards, values in ((header.shards, header.hidden), (header.logits, header.classes)):
        start = 0
        for shard in shards:
            check_shard(folder, shard, (header.steps, values), features.keys[start : start + shard.videos])
            start += shard.videos
    return features


def _read_header(folder: Path) -> FeaturesHeader:
    path = folder / HEADER
    if not path.is_file():
        incomplete = (folder / shard_name(0)).is_file() or journal.exists(folder.parent)
        if incomplete:
            raise RunError(
                f"{folder} has no {HEADER}: its recording is incomplete", "finish it with vbench run --resume"
            )
        raise RunError(f"{folder} contains no features", "record them with vbench run --trace --features")
    content = read_json(path, RunError, AGAIN)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{path} has schema version {content.get('schema_version')}, expected {SCHEMA_VERSION}", AGAIN)
    try:
        header = TypeAdapter(FeaturesHeader).validate_python(content)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise RunError(f"{path} is damaged: {place}: {problem.lower()}", AGAIN) from None
    _check_header(path, header)
    return header


def _check_header(path: Path, header: FeaturesHeader) -> None:
    if header.loss not in LOSSES:
        raise RunError(f"{path} has the unknown loss {header.loss!r}, expected {' or '.join(LOSSES)}", AGAIN)
    counts = [shard.videos for shard in header.shards]
    for kind, shards in ((STATES, header.shards), (LOGITS, header.logits)):
        expected = [(shard_name(number, kind), count) for number, count in enumerate(counts) if kind in header.kinds]
        if [(shard.file, shard.videos) for shard in shards] != expected:
            raise RunError(f"{path} is damaged: shards: they are not those of a recording", AGAIN)
    if header.categories is not None and len(header.categories) != header.classes:
        raise RunError(f"{path} is damaged: categories: {len(header.categories)} for {header.classes} classes", AGAIN)


def _table(path: Path) -> polars.DataFrame:
    if not path.is_file():
        raise RunError(f"{path} does not exist", AGAIN)
    return read_table(path, AGAIN)


def _features(folder: Path, header: FeaturesHeader, table: polars.DataFrame) -> Features:
    try:
        features = Features(
            folder,
            header,
            tuple(table["key"].to_list()),
            tuple(tuple(label or ()) for label in table["label"].to_list()),
            np.array(table["loss"].to_list(), np.float32).reshape(len(table), header.steps),
            table["confidence"].to_numpy().astype(np.float32),
            np.array(table["right"].to_list(), np.bool_).reshape(len(table), header.steps),
        )
    except Exception as error:  # polars raises its own errors for a missing column
        raise RunError(f"{folder / TABLE} is damaged ({type(error).__name__})", AGAIN) from None
    if len(table) != sum(shard.videos for shard in header.shards):
        raise RunError(f"{folder / TABLE} has {len(table)} videos, unlike the header's shards", AGAIN)
    for key, labels in zip(features.keys, features.labels):
        wrong = [label for label in labels if not 0 <= label < header.classes]
        if wrong:
            raise RunError(
                f"{folder / TABLE}: video {key} has class {wrong[0]}, but there are only {header.classes} classes",
                "record the features with the class list of the network",
            )
    return features
