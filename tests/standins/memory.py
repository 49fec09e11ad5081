"""Device memory that knows its bounds: addresses outside user space, a gap after every allocation, none used twice.

So an address that is off by one row, freed, or a host pointer is found at once. Fresh memory is full of ones: read as
a float it is a NaN, which no test takes for a result.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .misuse import Misuse

Bytes = NDArray[np.uint8]

ALIGNMENT = 256
_GRAIN = 512  # what cuMemAlloc aligns to
_GAP = 1 << 16
_FIRST = 1 << 48


class CudaError(Exception):
    """``pycuda.driver.Error``."""


class LogicError(CudaError):
    """``pycuda.driver.LogicError``."""


class OutOfMemoryError(CudaError):
    """``pycuda.driver.MemoryError``."""


@dataclass(eq=False)
class Allocation:
    """One piece of device memory; ``owner`` says who asked for it."""

    address: int
    size: int
    owner: str
    buffer: Bytes | None

    @property
    def live(self) -> bool:
        return self.buffer is not None


class Memory:
    """The memory of one device. ``fail_at`` makes the allocation of that number (from 1 on) fail."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.fail_at: int | None = None
        self._count = itertools.count(1)
        self._next = _FIRST
        self._addresses: list[int] = []
        self._allocations: list[Allocation] = []

    def allocate(self, size: int, owner: str) -> Allocation:
        """Return ``size`` bytes.

        Raises:
            OutOfMemoryError: the device is full, or the test said so.
        """
        if size <= 0:
            raise LogicError("cuMemAlloc failed: invalid argument")
        if next(self._count) == self.fail_at or self.used + size > self.total:
            raise OutOfMemoryError("cuMemAlloc failed: out of memory")
        allocation = Allocation(self._next, size, owner, np.full(size, 0xFF, np.uint8))
        self._next += -(-(size + _GAP) // _GRAIN) * _GRAIN
        self.used += size
        self._addresses.append(allocation.address)
        self._allocations.append(allocation)
        return allocation

    def free(self, allocation: Allocation) -> None:
        """Give it back."""
        if allocation.live:
            allocation.buffer = None
            self.used -= allocation.size

    def alive(self, owner: str | None = None) -> list[Allocation]:
        """Return the live allocations, all or those of one owner."""
        return [piece for piece in self._allocations if piece.live and owner in (None, piece.owner)]

    def find(self, address: int, size: int, what: str) -> Bytes:
        """Return the bytes at an address, as a view; Misuse where they are not all inside one live allocation."""
        index = bisect_right(self._addresses, address) - 1
        piece = self._allocations[index] if index >= 0 else None
        offset = address - piece.address if piece else 0
        if piece is None or offset >= piece.size + _GAP:
            raise Misuse("not device memory", f"{what}: {address:#x} was never allocated on the device")
        if piece.buffer is None:
            raise Misuse("use after free", f"{what}: {address:#x} lies in memory that was freed")
        if offset + size > piece.size:
            raise Misuse("out of bounds", f"{what}: {size} bytes at byte {offset} of an allocation of {piece.size}")
        return piece.buffer[offset : offset + size]
