"""Host-memory tensor operations shared by the CPU engines; handles are NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import Array, Handle


class NumpyMemory:
    """The memory methods of ``Engine`` for NumPy arrays."""

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        return np.zeros(shape, np.float32)

    def put(self, array: Array) -> Handle:
        """Return the array itself."""
        return array

    def get(self, handle: Handle) -> Array:
        array: Array = handle
        return array

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Return a function that returns the array itself."""
        return lambda: self.get(handle)

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        return handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        return handle.reshape(shape)

    def write(self, array: Array, target: Handle) -> None:
        np.copyto(target, array)

    def copy(self, source: Handle, target: Handle) -> None:
        np.copyto(target, source)
