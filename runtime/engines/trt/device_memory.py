"""Tensors in a GPU's memory, and the two pools behind them: memory of the GPU, and page-locked memory of the host.

Tensors are compact, so that rows ``a`` to ``b`` of one are a tensor as well, and reading a few of them is one copy.
Memory of a tensor that nobody holds any more is handed out again at once: all work is on one stream, so that whatever
still uses it is done before the next one begins. Nothing is given back to the GPU before the end, since that would
wait for all of its work.
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

ALIGNMENT = 256  # of every address that TensorRT takes


class Memory:
    """Some bytes of a GPU, which go back to the pool when nobody holds this any more."""

    def __init__(self, address: int, size: int) -> None:
        self.address, self.size = address, size


@dataclass(frozen=True, eq=False)
class DeviceTensor:
    """A compact tensor at ``address`` of the GPU, in some ``memory`` that it keeps."""

    memory: Memory
    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def aligned(self) -> bool:
        """Whether TensorRT takes its address."""
        return self.address % ALIGNMENT == 0

    def rows(self, start: int, stop: int) -> DeviceTensor:
        """Return some rows as a view of the same memory; the end is cut as Python cuts slices."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        row = self.size // max(self.shape[0], 1)
        return DeviceTensor(
            self.memory, self.address + start * row, (max(stop - start, 0), *self.shape[1:]), self.dtype
        )

    def view(self, shape: tuple[int, ...]) -> DeviceTensor:
        """Return the memory under another shape of as many elements."""
        if prod(shape) != prod(self.shape):
            raise ValueError(f"{list(self.shape)} cannot be seen as {list(shape)}")
        return DeviceTensor(self.memory, self.address, shape, self.dtype)


class DevicePool:
    """Hands out memory of the GPU; safe to be used by several threads."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._free: dict[int, list[int]] = {}

    def memory(self, size: int) -> Memory:
        """Return at least ``size`` bytes with whatever is in them.

        Raises:
            MissingError: the GPU has not that much left.
        """
        size = max(-(-size // ALIGNMENT), 1) * ALIGNMENT
        free = self._free.setdefault(size, [])
        try:
            address = free.pop()
        except IndexError:
            address = self._cuda.allocate(size)
        memory = Memory(address, size)
        weakref.finalize(memory, free.append, address).atexit = False  # no call of CUDA: any thread may end up in it
        return memory

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> DeviceTensor:
        """Return a tensor with whatever is in its memory."""
        kind = np.dtype(dtype)
        memory = self.memory(prod(shape) * kind.itemsize)
        return DeviceTensor(memory, memory.address, tuple(shape), kind)


@dataclass(eq=False)
class Staging:
    """Page-locked bytes; ``done`` happens when the GPU is through with them."""

    content: Bytes
    done: Any = field(repr=False)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return the first bytes as an array."""
        array: Array = self.content[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        return array


class StagingPool:
    """Hands out page-locked memory for the way to the GPU and back; safe to be used by several threads.

    A buffer is used again once the GPU is through with it, so that there are as many as are on their way at once.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._free: dict[int, list[Staging]] = {}
        self._fetching: set[Staging] = set()

    def take(self, size: int) -> Staging:
        """Return at least ``size`` bytes.

        Raises:
            MissingError: no more memory can be locked.
        """
        size = _rounded(size)
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
        """Have the first bytes copied into a tensor, and take the buffer back."""
        with self._cuda:
            self._cuda.upload(staging.content[: target.size], target.address)
            self._cuda.record(staging.done)
        self._free[len(staging.content)].append(staging)

    def fetch(self, source: DeviceTensor) -> Callable[[], Array]:
        """Have a tensor copied to the host; what is returned waits for its values, and for nothing put there since.

        It is to be called once. A buffer whose values nobody asks for stays out of use until the end: it must not be
        freed while the GPU may still write it.
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
        """Let go of all buffers; the GPU must be through with its work."""
        with self._cuda:
            self._free.clear()
            self._fetching.clear()


def _rounded(size: int) -> int:
    """Return the next power of two, so that tensors of many sizes share a few buffers."""
    return max(ALIGNMENT, 1 << (size - 1).bit_length()) if size > 0 else ALIGNMENT
