"""TensorRT execution contexts, and the state shared by all parts of an engine.

All contexts share one memory arena, since no two of them run concurrently. Every recorded graph has its own context,
which must not be used for anything else; sharing the arena makes such a context almost free.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ....errors import CheckError
from ...bundle.manifest import TensorSpec
from ..base import Engine
from .build import create
from .cuda_driver import Cuda
from .device_memory import DevicePool, Memory
from .logger import LogCollector, logger_of, reason

PREPROCESS = "preprocess"
Binding = tuple[tuple[str, int, tuple[int, ...]], ...]  # name, address and shape of each tensor; the output is last


class Preprocess(NamedTuple):
    """The engine that runs preprocessing, and its output tensor."""

    engine: Engine
    output: TensorSpec


@dataclass
class EngineState:
    """State shared by the parts of an engine.

    Attributes:
        trt: the ``tensorrt`` module.
        runtime: the TensorRT runtime, which must outlive the engines.
        arena: the memory shared by all contexts.
        graphs: whether repeated work is recorded and launched as a CUDA graph.
        no_graphs: why graphs are not used; None if they are.
        copies: number of copies to or from aligned staging tensors.
        launches: number of graph launches.
        recorded: number of recorded graphs.
        seen: number of times that each part has run on the same addresses.
    """

    trt: Any
    runtime: Any
    cuda: Cuda
    pool: DevicePool
    arena: Memory
    graphs: bool
    no_graphs: str | None
    copies: int = 0
    launches: int = 0
    recorded: int = 0
    seen: Counter[tuple[str, Binding]] = field(default_factory=Counter)

    def context(self, part: str, engine: Any) -> Context:
        """Return a new execution context that uses the arena.

        Raises:
            MissingError: TensorRT cannot create a context, usually because memory is exhausted.
        """
        collector: LogCollector = logger_of(self.trt).collector
        strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        with collector.collect() as messages:
            context = create(lambda: engine.create_execution_context(strategy), f"a context for {part}", messages)
        context.set_device_memory(self.arena.address, self.arena.size)
        return Context(part, context, collector)


class Context:
    """An execution context that updates only the shapes and addresses that have changed since the last run."""

    def __init__(self, part: str, context: Any, collector: LogCollector) -> None:
        self._part, self._context, self._collector = part, context, collector
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def run(self, binding: Binding, stream: int) -> None:
        """Enqueue the part on the stream.

        Raises:
            CheckError: TensorRT fails.
        """
        with self._collector.collect() as messages:
            if not (self._bind(binding) and self._context.execute_async_v3(stream)):
                self._shapes.clear()
                self._addresses.clear()
                raise CheckError(
                    f"TensorRT cannot run {self._part}: {reason(messages)}",
                    "rebuild its plan with vbench build --force",
                )

    def rerun(self, stream: int) -> bool:
        """Enqueue the same work again; return whether TensorRT succeeded."""
        return bool(self._context.execute_async_v3(stream))

    def close(self) -> None:
        """Release TensorRT's context, even if this object is still referenced."""
        del self._context

    def _bind(self, binding: Binding) -> bool:
        changed = False
        for name, _, shape in binding[:-1]:
            if self._shapes.get(name) != shape:
                if not self._context.set_input_shape(name, shape):
                    return False
                self._shapes[name], changed = shape, True
        name, _, shape = binding[-1]
        if changed and (self._context.infer_shapes() or tuple(self._context.get_tensor_shape(name)) != shape):
            return False
        for name, address, _ in binding:
            if self._addresses.get(name) != address:
                if not self._context.set_tensor_address(name, address):
                    return False
                self._addresses[name] = address
        return True
