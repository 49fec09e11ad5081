"""Batches of recorded states in random order, with a few shards in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SHARDS_IN_MEMORY = 4
_LEAST = 16  # in the last batch: fewer give poor batch statistics

Batch = tuple[NDArray[np.int64], NDArray[np.float16]]
ReadShard = Callable[[int], NDArray[np.float16]]


class ShardBatches:
    """Batches of the videos selected by the mask ``chosen``, read from shards of the given ``lengths``."""

    def __init__(self, read: ReadShard, lengths: Sequence[int], chosen: NDArray[np.bool_]) -> None:
        starts = np.cumsum([0, *lengths])
        self._read = read
        self._rows = [np.flatnonzero(chosen[start:stop]) for start, stop in pairwise(starts)]
        self._starts = starts[:-1]

    @property
    def videos(self) -> int:
        """Number of videos in an epoch."""
        return sum(map(len, self._rows))

    def batches(self, size: int) -> int:
        """Return the number of batches that `shuffled` yields per epoch."""
        whole, rest = divmod(self.videos, size)
        return whole + (rest >= _LEAST)

    def shuffled(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the indices and states of each batch in an epoch; the shards are shuffled, then their videos.

        Every video occurs once, except that a last batch of fewer than 16 videos is dropped.
        """
        order = rng.permutation(len(self._rows))
        places, states = self._empty()
        for group in np.split(order, range(SHARDS_IN_MEMORY, len(order), SHARDS_IN_MEMORY)):
            loaded = [self._load(int(shard)) for shard in group]
            places = np.concatenate([places, *(each for each, _ in loaded)])
            states = np.concatenate([states, *(each for _, each in loaded)])
            mixed = rng.permutation(len(places))
            whole = len(mixed) // size * size
            for chosen in mixed[:whole].reshape(-1, size):
                yield places[chosen], states[chosen]
            places, states = places[mixed[whole:]], states[mixed[whole:]]
        if len(places) >= _LEAST:
            yield places, states

    def in_order(self) -> Iterator[Batch]:
        """Yield the indices and states of all videos, shard by shard."""
        for shard, rows in enumerate(self._rows):
            if len(rows):
                yield self._load(shard)

    def _load(self, shard: int) -> Batch:
        rows = self._rows[shard]
        return self._starts[shard] + rows, self._read(shard)[rows]

    def _empty(self) -> Batch:
        shape = self._read(0).shape[1:]
        return np.zeros(0, np.int64), np.zeros((0, *shape), np.float16)
