"""Random integers for synthetic data sets, identical on every machine and numpy version."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ....errors import UsageError

Ints = NDArray[np.int64]


class PortableRandom:
    """Bounded integers from raw PCG64 words; numpy's own distributions may change between versions."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def integers(self, count: int, low: int, high: int) -> Ints:
        """Return ``count`` integers from ``low`` to ``high``, inclusive."""
        words = np.asarray(self._bits.random_raw(count), np.uint64)
        drawn: Ints = (words % np.uint64(high - low + 1)).astype(np.int64) + low
        return drawn

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, inclusive."""
        return int(self.integers(1, low, high)[0])

    def random_bytes(self, count: int) -> NDArray[np.uint8]:
        """Return ``count`` bytes."""
        words = np.asarray(self._bits.random_raw(-(-count // 8)), "<u8")
        return words.view(np.uint8)[:count]


def check_video_index(what: str, sizes: Mapping[str, int], split: str, index: int) -> None:
    """Check that ``split`` has a video ``index``, given the ``sizes`` of all splits.

    Raises:
        UsageError: there is no such split or video.
    """
    if split not in sizes:
        raise UsageError(f"{what} have no split {split!r}", f"choose {' or '.join(sizes)}")
    if not 0 <= index < sizes[split]:
        raise UsageError(f"the {split} split of {what} has no video {index}", f"choose 0 to {sizes[split] - 1}")
