"""One part on TensorRT: an engine, its execution context, and CUDA graphs of repeated work.

TensorRT requires addresses that are multiples of 256 bytes. In the authors' networks, rows of states and pixels are
aligned, but rows of gate values and logits are not. Unaligned rows are staged on the GPU in a tensor owned by the part:
inputs are copied in before the run, and the output is copied out after it. These copies are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....errors import UsageError
from ...bundle.manifest import PartSpec
from .context import Binding, Context, EngineState
from .device_memory import DeviceTensor, Memory

_GRAPHS_KEPT = 128
_SEEN_KEPT = 4096


class TrtPart:
    """A part with its plan loaded; callers must hold the lock of ``Cuda``."""

    def __init__(self, name: str, spec: PartSpec, engine: Any, rows: int, state: EngineState) -> None:
        self._name, self._spec, self._engine, self._rows, self._state = name, spec, engine, rows, state
        self._inputs = tuple(tensor.name for tensor in spec.inputs)
        self._context = state.context(name, engine)
        self._staging: dict[str, Memory] = {}
        self._graphs: dict[Binding, tuple[Context, Any]] = {}

    def run(self, inputs: Sequence[DeviceTensor], out: DeviceTensor | None) -> DeviceTensor:
        """Enqueue the part; write its output to ``out`` or to a new tensor.

        Raises:
            UsageError: the batch has more rows than the plan supports.
            CheckError: TensorRT fails.
        """
        rows = inputs[0].shape[0]
        if rows > self._rows:
            raise UsageError(
                f"{self._name}: a batch of {rows} rows exceeds the TensorRT plan's limit of {self._rows}",
                "load the bundle for larger batches: slots= in Python, --slots on the command line",
            )
        output = self._spec.output
        if out is None:
            out = self._state.pool.empty((rows, *(int(axis) for axis in output.shape[1:])), output.dtype)
        bound = [self._aligned(name, tensor, copy=True) for name, tensor in zip(self._inputs, inputs)]
        target = self._aligned(output.name, out, copy=False)
        names = (*self._inputs, output.name)
        self._execute(tuple((name, each.address, each.shape) for name, each in zip(names, (*bound, target))))
        if target is not out:
            self._copy(target, out)
        return out

    def close(self) -> None:
        """Release graphs, contexts and the engine, in this order."""
        while self._graphs:
            context, graph = self._graphs.popitem()[1]
            self._state.cuda.destroy(graph)
            context.close()
        self._context.close()
        del self._engine

    def _aligned(self, name: str, tensor: DeviceTensor, *, copy: bool) -> DeviceTensor:
        """Return the tensor itself or, if it is not aligned, an aligned one in the part's own memory."""
        if tensor.aligned:
            return tensor
        memory = self._staging.get(name)
        if memory is None or memory.size < tensor.size:  # a larger block replaces it
            memory = self._staging[name] = self._state.pool.memory(tensor.size // tensor.shape[0] * self._rows)
        staged = DeviceTensor(memory, memory.address, tensor.shape, tensor.dtype)
        if copy:
            self._copy(tensor, staged)
        return staged

    def _copy(self, source: DeviceTensor, target: DeviceTensor) -> None:
        self._state.cuda.copy(source.address, target.address, source.size)
        self._state.copies += 1

    def _execute(self, binding: Binding) -> None:
        state = self._state
        recorded = self._graphs.get(binding)
        if recorded is not None and state.cuda.launch(recorded[1]):
            state.launches += 1
        elif state.graphs and self._should_record(binding):
            self._record(binding)
        else:
            self._context.run(binding, state.cuda.stream_handle)

    def _should_record(self, binding: Binding) -> bool:
        """Return whether to record a graph: on the second run, unless the maximum number of graphs has been reached."""
        seen, key = self._state.seen, (self._name, binding)
        if self._state.recorded >= _GRAPHS_KEPT:
            return False
        if len(seen) > _SEEN_KEPT:
            seen.clear()
        seen[key] += 1
        return seen[key] == 2

    def _record(self, binding: Binding) -> None:
        """Run in a new context, so that it is fully initialized, and then record a graph of the same work."""
        state = self._state
        context = state.context(self._name, self._engine)
        context.run(binding, state.cuda.stream_handle)
        state.cuda.synchronize()
        graph = state.cuda.record_graph(lambda: context.rerun(state.cuda.stream_handle))
        if graph is None:
            state.graphs, state.no_graphs = False, f"{self._name} cannot be captured"
            return
        self._graphs[binding] = context, graph
        state.recorded += 1
