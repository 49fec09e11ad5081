"""TensorRT on an NVIDIA GPU, with plans built from the bundle's own graphs.

Every part except preprocessing has its own plan (see `plan_cache`). Features, states, gate values and logits stay on
the GPU and are passed between parts by address. All work is on one stream, so the host waits only for the values that
it reads: the gate values of a tick, and the logits of clips that exit.

Frames of any size are preprocessed by ONNX Runtime on the CPU, which writes the pixels to page-locked memory that the
GPU copies from. The pixels are identical to those of the ``ort`` engine, and the work is done by the threads that read
frames, which would otherwise be idle. Handles are therefore arrays for uint8 data, and GPU tensors for everything else.
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
    """TensorRT engine: plans on one GPU and one stream, with preprocessing on the CPU."""

    def __init__(
        self,
        name: str,
        parts: Mapping[str, TrtPart],
        preprocess: Preprocess | None,
        state: EngineState,
        description: Mapping[str, str],
    ) -> None:
        self.name = name
        self._parts, self._preprocess, self._state = parts, preprocess, state
        self._cuda, self._pool, self._description = state.cuda, state.pool, description
        self._staging = StagingPool(self._cuda)
        self._finalizer = weakref.finalize(self, _close, dict(parts), state, self._staging)

    def close(self) -> None:
        """Release all GPU resources; also called when the engine is garbage-collected, and at process exit."""
        self._finalizer()

    def describe(self) -> dict[str, str]:
        """Return versions, GPU, precision, layer counts by compute precision, and whether CUDA graphs are used."""
        graphs = "on" if self._state.graphs else f"off: {self._state.no_graphs}"
        return {**self._description, "cuda_graphs": graphs}

    def statistics(self) -> dict[str, int]:
        """Return the numbers of alignment copies, graphs, and graph launches."""
        state = self._state
        return {"aligned_copies": state.copies, "graphs": state.recorded, "graph_launches": state.launches}

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        with self._cuda:
            tensor = self._pool.empty(shape)
            self._cuda.clear(tensor.address, tensor.size)
        return tensor

    def put(self, array: Array) -> Handle:
        """Copy an array to the GPU; return a uint8 array unchanged, since frames are preprocessed on the CPU."""
        if array.dtype == np.uint8:
            return array
        with self._cuda:
            tensor = self._pool.empty(array.shape, array.dtype)
        self.write(array, tensor)
        return tensor

    def get(self, handle: Handle) -> Array:
        """Copy a tensor to the host, using a single copy and a single wait."""
        if isinstance(handle, DeviceTensor) and handle.size:
            return self._staging.fetch(handle)()
        return np.empty(handle.shape, handle.dtype) if isinstance(handle, DeviceTensor) else np.asarray(handle)

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Enqueue a copy to the host; return a function that waits only for this copy and returns the array."""
        if isinstance(handle, DeviceTensor) and handle.size:
            return self._staging.fetch(handle)
        return lambda: self.get(handle)

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        return handle.rows(start, stop) if isinstance(handle, DeviceTensor) else handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        return handle.view(shape) if isinstance(handle, DeviceTensor) else handle.reshape(shape)

    def copy(self, source: Handle, target: Handle) -> None:
        """Enqueue a copy of one tensor into another."""
        if source.shape != target.shape:
            raise ValueError(f"cannot copy shape {list(source.shape)} to {list(target.shape)}")
        if isinstance(source, DeviceTensor):
            self._cuda.copy(source.address, target.address, source.size)
        else:
            np.copyto(target, source)

    def write(self, array: Array, target: Handle) -> None:
        """Enqueue a copy of an array into a tensor; the array itself is copied immediately."""
        if array.shape != target.shape:
            raise ValueError(f"cannot write shape {list(array.shape)} to {list(target.shape)}")
        staging = self._staging.take(array.nbytes)
        np.copyto(staging.array(array.shape, array.dtype), array)
        self._staging.send(staging, target)

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Enqueue a part on the stream; preprocessing runs synchronously on the calling thread.

        Raises:
            UsageError: the batch has more rows than the plan supports.
            CheckError: TensorRT fails.
        """
        if part == PREPROCESS:
            return self._run_preprocess(inputs[0], out)
        with self._cuda:
            return self._parts[part].run(inputs, out)

    def _run_preprocess(self, frames: Array, out: DeviceTensor | None) -> DeviceTensor:
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
    """Release all resources in the order that TensorRT and the driver require; other orders crash the process."""
    with state.cuda:
        state.cuda.finish()
        while parts:
            parts.popitem()[1].close()
        state.runtime = None
    staging.close()
    state.cuda.close()
