"""The execution context: rules that hardware does not check are checked when work is enqueued."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .bindings import Implementation, Shape, World
from .engine import EngineImpl
from .memory import ALIGNMENT, Allocation
from .misuse import Misuse
from .model import NUMPY, nbytes, session
from .runtime_config import RuntimeCacheImpl
from .streams import Op, Span, Stream

Shapes = dict[str, tuple[int, ...]]
_FAILED = "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime"


class ContextImpl(Implementation):
    """``IExecutionContext``. ``graphs`` are the live CUDA graphs that use its memory."""

    api = "IExecutionContext"

    def __init__(
        self, world: World, engine: EngineImpl, activations: Allocation | None, cache: RuntimeCacheImpl | None
    ) -> None:
        super().__init__(world)
        self.engine, self.label = engine, engine.label()
        self._compiled = cache.kernels if cache else set()
        self.graphs: set[Any] = set()
        self._own, self._managed = activations, activations is None
        self._activations: Span | None = None
        if activations is not None:
            self._activations = (activations.address, activations.address + activations.size)
        self._given: Shapes = {tensor.name: tensor.shape for tensor in engine.plan.model.inputs if not tensor.dynamic}
        self._addresses: dict[str, int] = {}
        self._refused: set[str] = set()  # inputs whose last shape was rejected with False
        self._prepared: Shapes | None = None  # the input shapes of the last completed run
        world.machine.trt_objects.add(self)

    def __del__(self) -> None:
        if getattr(self, "_own", None) is not None:
            self.world.machine.memory.free(self._own)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        engine = self.engine
        if name not in engine.inputs:
            return self._fail(f"setInputShape: {name!r} is no input")
        low, _, high = engine.plan.range(engine.tensors[name])
        if len(shape) != len(low) or not all(a <= size <= b for a, size, b in zip(low, shape, high)):
            self._refused.add(name)
            return self._fail(
                f"IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, {name}: "
                f"supplied dimensions {shape} are not in the profile's range {low} to {high})"
            )
        if self._given.get(name) != shape:
            self._refuse_captured("set_input_shape")
            self._given[name] = shape
        self._refused.discard(name)
        return True

    def get_tensor_shape(self, name: str) -> Shape:
        tensor = self.engine.tensors.get(name)
        if tensor is None:
            raise Misuse("no such tensor", name)
        if name in self.engine.inputs:
            return Shape(self._given.get(name, tensor.shape))
        return Shape(tensor.shape if self.infer_shapes() else self._shapes()[name])

    def infer_shapes(self) -> list[str]:
        return [tensor.name for tensor in self.engine.plan.model.inputs if tensor.name not in self._given]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self.engine.tensors:
            return self._fail(f"setTensorAddress: {name!r} is no input or output")
        if memory % ALIGNMENT:
            raise Misuse("alignment", f"{name}: {memory:#x} is not a multiple of {ALIGNMENT}")
        if memory:
            self.world.machine.memory.find(memory, 1, f"set_tensor_address({name})")
        if self._addresses.get(name, 0) != memory:
            self._refuse_captured("set_tensor_address")
            self._addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        if not self._managed:
            raise Misuse("memory of a STATIC context", "only USER_MANAGED contexts accept memory")
        self._refuse_captured("set_device_memory")
        if memory % ALIGNMENT:
            raise Misuse("alignment", f"device memory at {memory:#x}")
        self.world.machine.memory.find(memory, size, "set_device_memory")
        need = self._need()
        if size < need:
            raise Misuse("activation memory too small", f"got {size} bytes, need {need}")
        self._activations = (memory, memory + size)

    def is_stream_capturable(self, stream: int) -> bool:
        """Return whether the next run can be captured (TensorRT-RTX)."""
        self.world.machine.streams.find(stream, "is_stream_capturable")
        return not self.world.machine.faults.capture and self._prepared == self._given

    def update_device_memory_size_for_shapes(self) -> int:
        if not self._managed:
            raise Misuse("memory of a STATIC context", "update_device_memory_size_for_shapes is for USER_MANAGED")
        if self.infer_shapes():
            raise Misuse("shapes incomplete", f"{self.infer_shapes()}")
        return self._need()

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine = self.world.machine
        if not machine.stack:
            raise Misuse("no current context", "execute_async_v3 in a thread without a CUDA context")
        stream = machine.streams.find(stream_handle, "execute_async_v3")
        shapes = self._ready()
        op = self._op(shapes)
        machine.counters.launches[self.label] += 1
        if machine.faults.execute is not None and sum(machine.counters.launches.values()) >= machine.faults.execute:
            return self._fail(f"{_FAILED} (requested by the test)")
        if stream.capture and not self._capture(stream):
            return False
        if not stream.capture and self.graphs:
            raise Misuse("captured context", "its memory belongs to a CUDA graph; use another context")
        machine.streams.submit(stream, op)
        return True

    def _capture(self, stream: Stream) -> bool:
        capture = stream.capture
        assert capture is not None
        if capture.invalid:
            return self._fail(f"{_FAILED} (operation failed due to a previous error during capture)")
        if self.graphs:
            raise Misuse("captured context", "it is captured twice; use one context for each graph")
        if self.world.machine.faults.capture:
            capture.invalid = True
            return self._fail(f"{_FAILED} (operation not permitted when stream is capturing)")
        if self._prepared != self._given:
            capture.invalid = True
            return self._fail(
                f"{_FAILED} (operation not permitted when stream is capturing): run it once at these "
                "shapes, and wait for it, before the capture"
            )
        if self not in capture.contexts:
            capture.contexts.append(self)
        return True

    def _ready(self) -> Shapes:
        """Return all shapes after checking that a run has all its inputs."""
        if missing := self.infer_shapes():
            raise Misuse("shapes incomplete", f"{self.label}: {', '.join(missing)}")
        if self._refused:
            raise Misuse("False ignored", f"set_input_shape({', '.join(self._refused)}) rejected the last shape")
        shapes = self._shapes()
        if unknown := [name for name, shape in shapes.items() if -1 in shape]:
            raise NotImplementedError(f"the fake does not implement data-dependent shapes: {', '.join(unknown)}")
        if unset := [name for name in self.engine.tensors if not self._addresses.get(name)]:
            raise Misuse("address not set", f"{self.label}: {', '.join(unset)}")
        if self._activations is None:
            raise Misuse("no activation memory", f"{self.label} is USER_MANAGED: call set_device_memory first")
        if self._activations[1] - self._activations[0] < self._need():
            raise Misuse("activation memory too small", self.label)
        return shapes

    def _op(self, shapes: Shapes) -> Op:
        """Return one run with the current shapes and addresses."""
        tensors, inputs, memory = self.engine.tensors, self.engine.inputs, self.world.machine.memory
        content, given, activations = self.engine.plan.content, dict(self._given), self._activations
        where = {n: (self._addresses[n], nbytes(t.dtype, shapes[n])) for n, t in tensors.items()}
        spans = {name: (address, address + size) for name, (address, size) in where.items()}
        assert activations is not None
        label, myself = self.label, weakref.ref(self)  # work in flight does not keep a context alive

        def view(name: str) -> np.ndarray:
            return memory.find(*where[name], f"{label}.{name}").view(NUMPY[tensors[name].dtype])

        def run() -> None:
            context = myself()
            if context is None:
                raise Misuse("context destroyed", f"{label} was destroyed while its work was pending or in a graph")
            memory.find(activations[0], 1, f"activations of {label}")
            outputs = {name: view(name) for name in tensors if name not in inputs}
            feeds = {name: view(name).reshape(shapes[name]).copy() for name in tensors if name in inputs}
            for name, value in zip(outputs, session(content).run(list(outputs), feeds)):
                outputs[name][:] = value.reshape(-1)
            context._prepared = given
            context._compile()

        for name, (address, size) in where.items():
            memory.find(address, size, f"{self.label}.{name}")
        memory.find(activations[0], activations[1] - activations[0], f"activations of {self.label}")
        written = [(name, span) for name, span in spans.items() if name not in inputs] + [("activations", activations)]
        _disjoint([*spans.items(), ("activations", activations)], written)
        reads = tuple(span for name, span in spans.items() if name in inputs)
        return Op(f"execute_async_v3({self.label})", run, reads, tuple(span for _, span in written))

    def _compile(self) -> None:
        """Count kernels that TensorRT-RTX compiles at the first run, and those that it has in its runtime cache."""
        if self.world.rtx:
            kernels = {f"{layer.operator}:{layer.name}" for layer in self.engine.plan.model.layers}
            self.world.machine.counters.kernels_compiled += len(kernels - self._compiled)
            self._compiled |= kernels

    def _shapes(self) -> Shapes:
        return self.engine.shapes(self._given)

    def _need(self) -> int:
        if self.infer_shapes():
            return self.engine.device_memory_size_v2
        return self.engine.activation_bytes(self._given)

    def _refuse_captured(self, what: str) -> None:
        if self.graphs:
            raise Misuse("captured context", f"{what}: shapes, addresses and memory are frozen in a CUDA graph")

    def _fail(self, text: str) -> bool:
        self.world.log(self.engine.runtime.logger, "ERROR", text)
        return False


def _disjoint(spans: list[tuple[str, Span]], written: list[tuple[str, Span]]) -> None:
    for name, (start, stop) in written:
        for other, (first, last) in spans:
            if other != name and start < last and first < stop:
                raise Misuse("overlap", f"{name} and {other} share memory, and {name} is written")
