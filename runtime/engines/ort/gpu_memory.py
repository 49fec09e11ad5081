"""GPU tensors allocated and copied by ONNX Runtime alone.

A tensor is an address in an allocation that it keeps alive, so row slices and reshaped views are tensors as well; ONNX
Runtime's own values do not support views. A copy runs a session with a single Identity node whose input and output are
bound by address: on a GPU, this takes one cudaMemcpy (plus one to reach the host), and it requires neither another
package nor a second user of the GPU's context. Uploads are the exception and create a new allocation: a binding reads
host memory when it is created, not when it is run, so a cached binding would upload stale values.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import Array
from .session import Sessions, TensorLocation

if TYPE_CHECKING:
    import onnxruntime

DEVICE = "cuda"
_COPY = "copy"
_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True, eq=False)
class OrtTensor:
    """A contiguous float32 tensor at ``address``, within the allocation ``owner``."""

    owner: Any
    address: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float32."""
        return _FLOAT

    def rows(self, start: int, stop: int) -> OrtTensor:
        """Return rows ``start`` to ``stop`` as a view, clamped like a Python slice."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        return replace(self, address=self.address + start * row_bytes, shape=(max(stop - start, 0), *self.shape[1:]))

    def view(self, shape: tuple[int, ...]) -> OrtTensor:
        """Return a view with a different shape but the same number of elements."""
        if prod(shape) != prod(self.shape):
            raise ValueError(f"cannot view shape {list(self.shape)} as {list(shape)}")
        return replace(self, shape=tuple(shape))

    def location(self, index: int) -> TensorLocation:
        """Return the location of the tensor on GPU ``index``."""
        return TensorLocation(DEVICE, index, self.dtype, self.shape, self.address)


class GpuMemory:
    """The memory of one GPU, allocated by ONNX Runtime.

    Args:
        copier: session of ``identity_graph`` on the GPU.
        index: index of the GPU.
        alignment: required alignment of a part's tensors, in bytes.
        lock: held during every GPU operation.
    """

    def __init__(
        self,
        copier: onnxruntime.InferenceSession,
        index: int,
        alignment: int,
        lock: AbstractContextManager[object],
    ) -> None:
        self._copier = Sessions({_COPY: copier})
        self.index, self._alignment, self._lock = index, alignment, lock

    def empty(self, shape: tuple[int, ...]) -> OrtTensor:
        """Return an uninitialized tensor."""
        from onnxruntime import OrtValue

        with self._lock:
            value = OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, DEVICE, self.index)
        return OrtTensor(value, value.data_ptr(), tuple(shape))

    def upload(self, array: Array) -> OrtTensor:
        """Copy a float32 array to the GPU."""
        from onnxruntime import OrtValue

        with self._lock:
            value = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), DEVICE, self.index)
        return OrtTensor(value, value.data_ptr(), array.shape)

    def write(self, array: Array, target: OrtTensor) -> None:
        """Copy a float32 array into a tensor of the same shape."""
        self.copy(self.upload(array), target)

    def download(self, tensor: OrtTensor) -> Array:
        """Copy a tensor to the host."""
        array = np.empty(tensor.shape, tensor.dtype)
        self._move(tensor, TensorLocation("cpu", 0, array.dtype, (array.size,), array.ctypes.data))
        return array

    def copy(self, source: OrtTensor, target: OrtTensor) -> None:
        """Copy a tensor into another with the same number of elements."""
        if prod(source.shape) != prod(target.shape):
            raise ValueError(f"cannot copy shape {list(source.shape)} to {list(target.shape)}")
        self._move(source, self._flat(target))

    def is_aligned(self, tensor: OrtTensor) -> bool:
        """Return whether the tensor's address has the alignment that parts require."""
        return tensor.address % self._alignment == 0

    def aligned(self, tensor: OrtTensor) -> OrtTensor:
        """Return the tensor, or a copy of it if its address is not aligned."""
        if self.is_aligned(tensor):
            return tensor
        copy = self.empty(tensor.shape)
        self.copy(tensor, copy)
        return copy

    def _flat(self, tensor: OrtTensor) -> TensorLocation:
        return tensor.view((prod(tensor.shape),)).location(self.index)

    def _move(self, source: OrtTensor, target: TensorLocation) -> None:
        if prod(target.shape):
            with self._lock:
                self._copier.run(_COPY, [self._flat(source)], target)
