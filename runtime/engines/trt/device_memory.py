"""GPU tensors and their two memory pools: GPU memory, and page-locked host memory.

Tensors are contiguous, so rows ``a`` to ``b`` of a tensor are a tensor as well, and reading a few rows takes one copy.
Memory is reused as soon as its tensor is no longer referenced: all work is on one stream, so pending work on the memory
finishes before new work on it starts. GPU memory is freed only at the end, since freeing waits for all work on the GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..base import Array
from .cuda_driver import Bytes, Cuda

ALIGNMENT = 256  # required of every address passed to TensorRT


class Memory:
    """A block of GPU memory that returns to the pool once this object is no longer referenced."""

    def __init__(self, address: int, size: int) -> None:
        self.address, self.size = address, size


@dataclass(frozen=True, eq=False)
class DeviceTensor:
    """A contiguous GPU tensor at ``address``, within the block ``memory`` that it keeps alive."""

    memory: Memory
    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def aligned(self) -> bool:
        """Whether TensorRT accepts the tensor's address."""
        return self.address % ALIGNMENT == 0

    def rows(self, start: int, stop: int) -> DeviceTensor:
        """Return rows ``start`` to ``stop`` as a view, clamped like a Python slice."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        row = self.size // max(self.shape[0], 1)
        return DeviceTensor(
            self.memory, self.address + start * row, (max(stop - start, 0), *self.shape[1:]), self.dtype
        )

    def view(self, shape: tuple[int, ...]) -> DeviceTensor:
        """Return a view with a different shape but the same number of elements."""
        if prod(shape) != prod(self.shape):
            raise ValueError(f"cannot view shape {list(self.shape)} as {list(shape)}")
        return DeviceTensor(self.memory, self.address, shape, self.dtype)


class DevicePool:
    """Thread-safe pool of GPU memory."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._free: dict[int, list[int]] = {}

    def memory(self, size: int) -> Memory:
        """Return a block of at least ``size`` uninitialized bytes.

        Raises:
            MissingError: the GPU is out of memory.
        """
        size = max(-(-size // ALIGNMENT), 1) * ALIGNMENT
        free = self._free.setdefault(size, [])
        try:
            address = free.pop()
        except IndexError:
            address = self._cuda.allocate(size)
        memory = Memory(address, size)
        weakref.finalize(memory, free.append, address).atexit = False  # makes no CUDA calls: it may run in any thread
        return memory

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> DeviceTensor:
        """Return an uninitialized tensor."""
        kind = np.dtype(dtype)
        memory = self.memory(prod(shape) * kind.itemsize)
        return DeviceTensor(memory, memory.address, tuple(shape), kind)


@dataclass(eq=False)
class Staging:
    """Page-locked bytes, which the GPU is done with once the event ``done`` has completed."""

    content: Bytes
    done: Any = field(repr=False)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return as many of the first bytes as this shape and dtype require, as an array."""
        array: Array = self.content[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        return array


class StagingPool:
    """Thread-safe pool of page-locked memory for copies to and from the GPU.

    A buffer is reused once the GPU has finished with it, so there are only as many buffers as concurrent copies.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._free: dict[int, list[Staging]] = {}
        self._fetching: set[Staging] = set()

    def take(self, size: int) -> Staging:
        """Return a buffer of at least ``size`` bytes.

        Raises:
            MissingError: the host cannot pin more memory.
        """
        size = _round_up(size)
        free = self._free.setdefault(size, [])
        try:
            oldest = free.pop(0)
        except IndexError:
            return Staging(self._cuda.pinned(size), self._cuda.event())
        if self._cuda.happened(oldest.done):
            return oldest
        free.insert(0, oldest)
        return Staging(self._cuda.pinned(size), self._cuda.event())

    def send(self, staging: Staging, target: DeviceTensor) -> None:
        """Enqueue a copy of the buffer's first bytes to a tensor, and return the buffer to the pool."""
        with self._cuda:
            self._cuda.upload(staging.content[: target.size], target.address)
            self._cuda.record(staging.done)
        self._free[len(staging.content)].append(staging)

    def fetch(self, source: DeviceTensor) -> Callable[[], Array]:
        """Enqueue a copy of a tensor to the host; return a function that waits only for this copy and returns the data.

        Call the function only once. If it is never called, its buffer is held until `close`, because a buffer must not
        be freed while the GPU may still write to it.
        """
        staging = self.take(source.size)
        with self._cuda:
            self._cuda.download(source.address, staging.content[: source.size])
            self._cuda.record(staging.done)
        self._fetching.add(staging)

        def values() -> Array:
            self._cuda.wait(staging.done)
            array: Array = staging.array(source.shape, source.dtype).copy()
            self._fetching.remove(staging)
            self._free[len(staging.content)].append(staging)
            return array

        return values

    def close(self) -> None:
        """Release all buffers; the GPU must have finished its work."""
        with self._cuda:
            self._free.clear()
            self._fetching.clear()


def _round_up(size: int) -> int:
    """Return the next power of two, so that tensors of many sizes share a few buffers."""
    return max(ALIGNMENT, 1 << (size - 1).bit_length()) if size > 0 else ALIGNMENT
