"""Files of recorded features: float16 shards, a small table, and a header that ties them to a network.

The folder ``features`` of a run holds ``z_00000.npy``, ... (float16 ``[videos, steps, hidden]``, up to 512 videos
each), ``videos.parquet`` with a row per video, and ``header.json``, which is written last: without it the recording
is incomplete. The header has the digest of every shard.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ...errors import RunError
from ...files import sha256, whole_file
from ...json_file import first_problem, read_json
from ..records import journal
from ..records.parquet import read_table, write_table

if TYPE_CHECKING:
    import polars

SCHEMA_VERSION = 1
FOLDER, HEADER, TABLE = "features", "header.json", "videos.parquet"
SHARD_VIDEOS = 512
_AGAIN = "record the features again with vbench run --trace --features"


class Shard(NamedTuple):
    """A file of states: its name, number of videos, and SHA-256."""

    file: str
    videos: int
    sha256: str


@dataclass(frozen=True)
class FeaturesHeader:
    """Origin of recorded features.

    Attributes:
        trunk_sha256: digest of all tensors of the network except the gates'.
        first_threshold: default confidence above which step 1 exits.
        loss: name of the loss in ``losses.LOSSES``.
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
    shards: tuple[Shard, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Features:
    """Recorded features of n videos, in the order of the shards.

    Attributes:
        keys: names of the videos; ``labels`` are their class indices, () for an unlabeled video.
        losses: float32 ``[n, steps]``, NaN for a video without a label.
        confidences: float32 ``[n]``, the top softmax probability of step 1.
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
        found: NDArray[np.float16] = np.load(self.folder / self.header.shards[shard].file, mmap_mode="r")
        return found


def shard_name(number: int) -> str:
    """Return the file name of the shard with this 0-based number."""
    return f"z_{number:05d}.npy"


def write_shard(folder: Path, number: int, states: NDArray[np.float16]) -> None:
    """Write a shard atomically.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    with whole_file(folder / shard_name(number)) as temporary:
        np.save(temporary, states, allow_pickle=False)


def complete_shards(folder: Path) -> int:
    """Return the number of full shards that precede the first missing or partial one."""
    number = 0
    while _videos_in(folder / shard_name(number)) == SHARD_VIDEOS:
        number += 1
    return number


def describe_shards(folder: Path, videos: int) -> tuple[Shard, ...]:
    """Return the shards of a recording of ``videos`` videos."""
    counts = [min(SHARD_VIDEOS, videos - start) for start in range(0, videos, SHARD_VIDEOS)]
    names = [shard_name(number) for number in range(len(counts))]
    return tuple(Shard(name, count, sha256(folder / name)) for name, count in zip(names, counts))


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
    start = 0
    for number, shard in enumerate(header.shards):
        _check_shard(features, number, features.keys[start : start + shard.videos])
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
    content = read_json(path, RunError, _AGAIN)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{path} has schema version {content.get('schema_version')}, expected {SCHEMA_VERSION}", _AGAIN)
    try:
        header = TypeAdapter(FeaturesHeader).validate_python(content)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise RunError(f"{path} is damaged: {place}: {problem.lower()}", _AGAIN) from None
    if [shard.file for shard in header.shards] != [shard_name(number) for number in range(len(header.shards))]:
        raise RunError(f"{path} is damaged: shards: unexpected file names", _AGAIN)
    return header


def _table(path: Path) -> polars.DataFrame:
    if not path.is_file():
        raise RunError(f"{path} does not exist", _AGAIN)
    return read_table(path, _AGAIN)


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
        raise RunError(f"{folder / TABLE} is damaged ({type(error).__name__})", _AGAIN) from None
    if len(table) != sum(shard.videos for shard in header.shards):
        raise RunError(
            f"{folder / TABLE} has {len(table)} videos, but the shards in {HEADER} have a different number", _AGAIN
        )
    for key, labels in zip(features.keys, features.labels):
        wrong = [label for label in labels if not 0 <= label < header.classes]
        if wrong:
            raise RunError(
                f"{folder / TABLE}: video {key} has class {wrong[0]}, but there are only {header.classes} classes",
                "record the features with the class list of the network",
            )
    return features


def _check_shard(features: Features, number: int, keys: tuple[str, ...]) -> None:
    header, shard = features.header, features.header.shards[number]
    path, restore = features.folder / shard.file, "copy the run folder again, or record the features again"
    if not path.is_file():
        raise RunError(f"{path} is missing", restore)
    try:
        states = features.states(number)
    except (OSError, ValueError, EOFError):
        raise RunError(f"{path} is truncated or damaged", restore) from None
    expected = (shard.videos, header.steps, header.hidden)
    if states.shape != expected or states.dtype != np.float16:
        raise RunError(
            f"{path} is {states.dtype} {list(states.shape)}, but should be float16 {list(expected)}", restore
        )
    finite = np.isfinite(states).all(axis=(1, 2))
    if not finite.all():
        raise RunError(f"{path}: the features of video {keys[int(finite.argmin())]} are not finite", _AGAIN)
    if sha256(path) != shard.sha256:
        raise RunError(f"{path} does not belong to this recording (its SHA-256 differs)", restore)


def _videos_in(path: Path) -> int:
    try:
        return len(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError):
        return 0
