"""Bounds-checked device memory: addresses outside user space, a gap after every allocation, no address reused.

An address that is off by one row, freed, or a host pointer is detected at once. Fresh memory is filled with one bits:
read as a float it is NaN, which no test mistakes for a result.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .misuse import Misuse

Bytes = NDArray[np.uint8]

ALIGNMENT = 256
_GRAIN = 512  # the alignment of cuMemAlloc
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
    """One block of device memory; ``owner`` names the package that allocated it."""

    address: int
    size: int
    owner: str
    buffer: Bytes | None

    @property
    def live(self) -> bool:
        return self.buffer is not None


class Memory:
    """The memory of one device."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._next = _FIRST
        self._addresses: list[int] = []
        self._allocations: list[Allocation] = []

    def allocate(self, size: int, owner: str) -> Allocation:
        """Return ``size`` bytes.

        Raises:
            OutOfMemoryError: the device is full.
        """
        if size <= 0:
            raise LogicError("cuMemAlloc failed: invalid argument")
        if self.used + size > self.total:
            raise OutOfMemoryError("cuMemAlloc failed: out of memory")
        allocation = Allocation(self._next, size, owner, np.full(size, 0xFF, np.uint8))
        self._next += -(-(size + _GAP) // _GRAIN) * _GRAIN
        self.used += size
        self._addresses.append(allocation.address)
        self._allocations.append(allocation)
        return allocation

    def free(self, allocation: Allocation) -> None:
        """Free an allocation."""
        if allocation.live:
            allocation.buffer = None
            self.used -= allocation.size

    def alive(self, owner: str | None = None) -> list[Allocation]:
        """Return the live allocations, all or those of one owner."""
        return [piece for piece in self._allocations if piece.live and owner in (None, piece.owner)]

    def find(self, address: int, size: int, what: str) -> Bytes:
        """Return the bytes at an address as a view; raise Misuse unless they are inside one live allocation."""
        index = bisect_right(self._addresses, address) - 1
        piece = self._allocations[index] if index >= 0 else None
        offset = address - piece.address if piece else 0
        if piece is None or offset >= piece.size + _GAP:
            raise Misuse("not device memory", f"{what}: {address:#x} was never allocated on the device")
        if piece.buffer is None:
            raise Misuse("use after free", f"{what}: {address:#x} is in freed memory")
        if offset + size > piece.size:
            raise Misuse("out of bounds", f"{what}: {size} bytes at byte {offset} of an allocation of {piece.size}")
        return piece.buffer[offset : offset + size]
