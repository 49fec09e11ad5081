"""Tensors in a GPU's memory, kept and moved by ONNX Runtime alone.

A tensor is an address in an allocation that it keeps alive, so that rows and other shapes of it are tensors as well;
ONNX Runtime's own values have no views. Whatever has to be moved to or from such an address goes through a session of
one Identity node bound to both ends: on a GPU that is one cudaMemcpy (one more to reach the host), and it needs neither
another package nor a second user of the GPU's context beside ONNX Runtime. Only values that come from the host come
another way, as a new allocation: a binding reads host memory when it is made and not when it is run, so that one that
is kept would bring old values.
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
    """A compact float32 tensor of this ``shape`` at ``address``, somewhere in the allocation ``owner``."""

    owner: Any
    address: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """All of them are float32."""
        return _FLOAT

    def rows(self, start: int, stop: int) -> OrtTensor:
        """Return some rows as a view of the same memory; the end is cut as Python cuts slices."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        return replace(self, address=self.address + start * row_bytes, shape=(max(stop - start, 0), *self.shape[1:]))

    def view(self, shape: tuple[int, ...]) -> OrtTensor:
        """Return the memory under another shape of as many elements."""
        if prod(shape) != prod(self.shape):
            raise ValueError(f"{list(self.shape)} cannot be seen as {list(shape)}")
        return replace(self, shape=tuple(shape))

    def location(self, index: int) -> TensorLocation:
        """Return where it is, on the GPU of this number."""
        return TensorLocation(DEVICE, index, self.dtype, self.shape, self.address)


class GpuMemory:
    """The memory of one GPU as ONNX Runtime hands it out.

    Args:
        copier: session of ``identity_graph`` on that GPU.
        index: number of the GPU.
        alignment: what addresses have to be a multiple of, in bytes, to be given to a part.
        lock: held around everything that touches the GPU.
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
        """Return a tensor with whatever is in its memory."""
        from onnxruntime import OrtValue

        with self._lock:
            value = OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, DEVICE, self.index)
        return OrtTensor(value, value.data_ptr(), tuple(shape))

    def upload(self, array: Array) -> OrtTensor:
        """Bring a float32 array to the GPU."""
        from onnxruntime import OrtValue

        with self._lock:
            value = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), DEVICE, self.index)
        return OrtTensor(value, value.data_ptr(), array.shape)

    def download(self, tensor: OrtTensor) -> Array:
        """Bring a tensor to the host."""
        array = np.empty(tensor.shape, tensor.dtype)
        self._move(tensor, TensorLocation("cpu", 0, array.dtype, (array.size,), array.ctypes.data))
        return array

    def copy(self, source: OrtTensor, target: OrtTensor) -> None:
        """Copy a tensor into another one of as many elements."""
        if prod(source.shape) != prod(target.shape):
            raise ValueError(f"{list(source.shape)} cannot be copied to {list(target.shape)}")
        self._move(source, self._flat(target))

    def is_aligned(self, tensor: OrtTensor) -> bool:
        """Say whether a part takes its address."""
        return tensor.address % self._alignment == 0

    def aligned(self, tensor: OrtTensor) -> OrtTensor:
        """Return the tensor, or a copy of it where its address is one that no part takes."""
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
