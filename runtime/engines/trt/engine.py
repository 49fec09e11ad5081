"""TensorRT on an NVIDIA GPU, from the bundle's own graphs.

Every part but the preprocessing is a plan of its own (see `plan_cache`). Features, states, gate values and logits stay
on the GPU, are handed from part to part by their address, and everything is put on one stream, so that nothing is
waited for but the values that are read: a copy of the gate values of a tick, and logits of clips that end.

Frames come in all sizes and are preprocessed by ONNX Runtime on the CPU, into page-locked memory that the GPU copies
from: exactly the pixels that the ``ort`` engine has, on the threads that read frames, which have nothing else to do. So
handles of bytes are arrays, and all others are tensors of the GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from ..base import Array, Handle
from .context import PREPROCESS, EngineState, Preprocess
from .device_memory import DeviceTensor, StagingPool
from .subgraph import TrtPart


class TrtEngine:
    """Plans on one GPU and one stream, and the preprocessing beside them."""

    name = "trt"

    def __init__(
        self,
        parts: Mapping[str, TrtPart],
        preprocess: Preprocess | None,
        state: EngineState,
        description: Mapping[str, str],
    ) -> None:
        self._parts, self._preprocess, self._state = parts, preprocess, state
        self._cuda, self._pool, self._description = state.cuda, state.pool, description
        self._staging = StagingPool(self._cuda)
        self._end = weakref.finalize(self, _close, dict(parts), state, self._staging)

    def close(self) -> None:
        """Give everything back to the GPU; also done when the engine is dropped, and at the end of the process."""
        self._end()

    def describe(self) -> dict[str, str]:
        """Return versions, GPU, precision, what the layers that multiply run in, and whether CUDA graphs are used."""
        graphs = "on" if self._state.graphs else f"off: {self._state.no_graphs}"
        return {**self._description, "cuda_graphs": graphs}

    def statistics(self) -> dict[str, int]:
        """Return how often a tensor was copied to or from an aligned one, and how graphs were used."""
        state = self._state
        return {"aligned_copies": state.copies, "graphs": state.recorded, "graph_launches": state.launches}

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        """Make a float32 tensor of zeros on the GPU."""
        with self._cuda:
            tensor = self._pool.empty(shape)
            self._cuda.clear(tensor.address, tensor.size)
        return tensor

    def put(self, array: Array) -> Handle:
        """Copy an array to the GPU; one of bytes is returned as it is, since frames are preprocessed on the CPU."""
        if array.dtype == np.uint8:
            return array
        staging = self._staging.take(array.nbytes)
        np.copyto(staging.array(array.shape, array.dtype), array)
        with self._cuda:
            tensor = self._pool.empty(array.shape, array.dtype)
            self._staging.send(staging, tensor)
        return tensor

    def get(self, handle: Handle) -> Array:
        """Copy a tensor to the host: one copy, and one wait for what computes it."""
        if isinstance(handle, DeviceTensor) and handle.size:
            return self._staging.fetch(handle)()
        return np.empty(handle.shape, handle.dtype) if isinstance(handle, DeviceTensor) else np.asarray(handle)

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Put a copy to the host on the stream; what is returned waits for it, and for nothing put there since."""
        if isinstance(handle, DeviceTensor) and handle.size:
            return self._staging.fetch(handle)
        return lambda: self.get(handle)

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        """Return rows as a view of the same memory."""
        return handle.rows(start, stop) if isinstance(handle, DeviceTensor) else handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        """Return a tensor's memory under another shape."""
        return handle.view(shape) if isinstance(handle, DeviceTensor) else handle.reshape(shape)

    def copy(self, source: Handle, target: Handle) -> None:
        """Copy one tensor into another, on the stream."""
        if source.shape != target.shape:
            raise ValueError(f"{list(source.shape)} does not fit into {list(target.shape)}")
        if isinstance(source, DeviceTensor):
            self._cuda.copy(source.address, target.address, source.size)
        else:
            np.copyto(target, source)

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Put a part on the stream; the preprocessing is done at once, on the calling thread.

        Raises:
            UsageError: there are more rows than the plan takes.
            CheckError: TensorRT refuses.
        """
        if part == PREPROCESS:
            return self._preprocessed(inputs[0], out)
        with self._cuda:
            return self._parts[part].run(inputs, out)

    def _preprocessed(self, frames: Array, out: DeviceTensor | None) -> DeviceTensor:
        assert self._preprocess is not None
        engine, output = self._preprocess
        shape = (len(frames), *(int(axis) for axis in output.shape[1:]))
        dtype = np.dtype(output.dtype)
        staging = self._staging.take(prod(shape) * dtype.itemsize)
        engine.run(PREPROCESS, frames, out=staging.array(shape, dtype))
        with self._cuda:
            tensor = self._pool.empty(shape, dtype) if out is None else out
            self._staging.send(staging, tensor)
        return tensor


def _close(parts: dict[str, TrtPart], state: EngineState, staging: StagingPool) -> None:
    """Let go of all in the order that TensorRT and the driver want; the other way round ends the process in a crash."""
    with state.cuda:
        state.cuda.finish()
        while parts:
            parts.popitem()[1].close()
        state.runtime = None
    staging.close()
    state.cuda.close()
