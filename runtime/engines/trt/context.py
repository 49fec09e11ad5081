"""TensorRT's execution contexts, and what all parts of an engine share.

All contexts compute in one arena, since no two of them run at once; that is why a context for every recorded graph,
which must not be used for anything else, costs next to nothing.
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
Binding = tuple[tuple[str, int, tuple[int, ...]], ...]  # name, address and shape of every tensor, the output last


class Preprocess(NamedTuple):
    """The engine that runs the preprocessing, and the tensor that comes out."""

    engine: Engine
    output: TensorSpec


@dataclass
class EngineState:
    """What the parts of an engine share.

    Attributes:
        trt: the module tensorrt.
        runtime: what the engines were loaded with, and must not outlive.
        arena: where all contexts compute.
        graphs: whether work that comes again is recorded and launched as one piece.
        no_graphs: why not.
        copies: how often a tensor went through an aligned one.
        launches: how often a graph was launched.
        recorded: how many graphs there are.
        seen: how often each part ran on the same addresses.
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
        """Return a new execution context, which computes in the arena.

        Raises:
            MissingError: TensorRT cannot make one, for want of memory as a rule.
        """
        collector: LogCollector = logger_of(self.trt).collector
        strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        with collector.collect() as messages:
            context = create(lambda: engine.create_execution_context(strategy), f"a context for {part}", messages)
        context.set_device_memory(self.arena.address, self.arena.size)
        return Context(part, context, collector)


class Context:
    """An execution context that is told only what has changed since the last run."""

    def __init__(self, part: str, context: Any, collector: LogCollector) -> None:
        self._part, self._context, self._collector = part, context, collector
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def run(self, binding: Binding, stream: int) -> None:
        """Put the part on the stream.

        Raises:
            CheckError: TensorRT refuses.
        """
        with self._collector.collect() as messages:
            if not (self._bind(binding) and self._context.execute_async_v3(stream)):
                self._shapes.clear()
                self._addresses.clear()
                raise CheckError(
                    f"{self._part}: TensorRT did not run it: {reason(messages)}", "build its plan with --force"
                )

    def rerun(self, stream: int) -> bool:
        """Put the same once more on the stream; say whether TensorRT did."""
        return bool(self._context.execute_async_v3(stream))

    def close(self) -> None:
        """Let go of TensorRT's context, whoever still holds this one."""
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
