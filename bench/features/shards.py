"""Shards of recorded features: float16 arrays of up to 512 videos, written once and read through a memory map.

There are two kinds: the states of the videos and, for tags, also their logits, from which the mean average precision of
any operating point is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...files import sha256, whole_file

SHARD_VIDEOS = 512
STATES: Final = "z"
LOGITS: Final = "logits"
AGAIN = "record the features again with vbench run --trace --features"
_RESTORE = "copy the run folder again, or record the features again"


class Shard(NamedTuple):
    """A file of states or logits: its name, number of videos, and SHA-256."""

    file: str
    videos: int
    sha256: str


def shard_name(number: int, kind: str = STATES) -> str:
    """Return the file name of a shard, counted from 0."""
    return f"{kind}_{number:05d}.npy"


def write_shard(folder: Path, number: int, values: NDArray[np.float16], kind: str = STATES) -> None:
    """Write a shard ``[videos, steps, values per step]`` atomically.

    Raises:
        MissingError, UsageError: it is not writable, or the disk is full.
    """
    with whole_file(folder / shard_name(number, kind)) as temporary:
        np.save(temporary, values, allow_pickle=False)


def complete_shards(folder: Path, kinds: Sequence[str] = (STATES,)) -> int:
    """Return the number of shards at the start of an interrupted recording that are full in all ``kinds``."""
    number = 0
    while all(_videos_in(folder / shard_name(number, kind)) == SHARD_VIDEOS for kind in kinds):
        number += 1
    return number


def describe_shards(folder: Path, videos: int, kind: str = STATES) -> tuple[Shard, ...]:
    """Return the shards of a recording of ``videos`` videos."""
    counts = [min(SHARD_VIDEOS, videos - start) for start in range(0, videos, SHARD_VIDEOS)]
    names = [shard_name(number, kind) for number in range(len(counts))]
    return tuple(Shard(name, count, sha256(folder / name)) for name, count in zip(names, counts))


def map_shard(folder: Path, shard: Shard) -> NDArray[np.float16]:
    """Return the values of a shard as a memory map, float16 ``[videos, steps, values per step]``."""
    found: NDArray[np.float16] = np.load(folder / shard.file, mmap_mode="r")
    return found


def check_shard(folder: Path, shard: Shard, shape: tuple[int, int], keys: Sequence[str]) -> None:
    """Check the file of a shard.

    Args:
        shape: steps, and values per step.
        keys: names of its videos.

    Raises:
        RunError: it is missing, truncated, altered or from another recording, or a value is not finite.
    """
    path = folder / shard.file
    if not path.is_file():
        raise RunError(f"{path} is missing", _RESTORE)
    try:
        values = map_shard(folder, shard)
    except (OSError, ValueError, EOFError):
        raise RunError(f"{path} is truncated or damaged", _RESTORE) from None
    expected = (shard.videos, *shape)
    if values.shape != expected or values.dtype != np.float16:
        raise RunError(
            f"{path} is {values.dtype} {list(values.shape)}, but should be float16 {list(expected)}", _RESTORE
        )
    finite = np.isfinite(values).all(axis=(1, 2))
    if not finite.all():
        raise RunError(f"{path}: the features of video {keys[int(finite.argmin())]} are not finite", AGAIN)
    if sha256(path) != shard.sha256:
        raise RunError(f"{path} does not belong to this recording (its SHA-256 differs)", _RESTORE)


def _videos_in(path: Path) -> int:
    try:
        return len(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError):
        return 0
