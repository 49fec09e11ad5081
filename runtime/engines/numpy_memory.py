"""What engines that compute in the host's memory share: their handles are numpy arrays, so nothing is ever moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import Array, Handle


class NumpyMemory:
    """The memory half of an engine (see ``Engine``) for handles that are numpy arrays."""

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        """Make an array of zeros."""
        return np.zeros(shape, np.float32)

    def put(self, array: Array) -> Handle:
        """Return the array itself."""
        return array

    def get(self, handle: Handle) -> Array:
        """Return the array itself."""
        array: Array = handle
        return array

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Return what returns the array itself."""
        return lambda: self.get(handle)

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        """Return a slice."""
        return handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        """Return the array's memory under another shape."""
        return handle.reshape(shape)

    def copy(self, source: Handle, target: Handle) -> None:
        """Copy the values."""
        np.copyto(target, source)
