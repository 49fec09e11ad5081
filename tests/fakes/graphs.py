"""``cuda.bindings.runtime``: capture, instantiation and launch of CUDA graphs on PyCUDA streams.

As in the real module, every function returns a tuple that starts with an error code, and CUDA errors never raise. An
ignored error code therefore goes unnoticed until the next call fails.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any
from weakref import WeakSet

from .machine import Machine
from .memory import CudaError
from .misuse import Misuse
from .streams import Capture, Op, Stream

# Only the codes that the fake can return.
ErrorCode = enum.IntEnum(
    "cudaError_t",
    {
        "cudaSuccess": 0,
        "cudaErrorInvalidValue": 1,
        "cudaErrorMemoryAllocation": 2,
        "cudaErrorIllegalState": 401,
        "cudaErrorStreamCaptureUnsupported": 900,
        "cudaErrorStreamCaptureInvalidated": 901,
        "cudaErrorStreamCaptureWrongThread": 908,
        "cudaErrorUnknown": 999,
    },
)
CaptureMode = enum.IntEnum(
    "cudaStreamCaptureMode",
    {f"cudaStreamCaptureMode{name}": value for value, name in enumerate(("Global", "ThreadLocal", "Relaxed"))},
)
SUCCESS = ErrorCode["cudaSuccess"]


class Graph:
    """``cudaGraph_t`` or ``cudaGraphExec_t``: the operations recorded by a capture."""

    _handles = count(0x9000, 0x10)

    def __init__(self, ops: list[Op], contexts: list[Any], executable: bool) -> None:
        self.ops, self.executable = ops, executable
        self.labels = [context.label for context in contexts]
        self._contexts = WeakSet(contexts)  # a graph does not keep contexts alive
        self.live = True
        self.handle = next(self._handles)
        for context in contexts:
            context.graphs.add(self)

    @property
    def contexts(self) -> list[Any]:
        return list(self._contexts)

    def __int__(self) -> int:
        return self.handle

    def destroy(self) -> None:
        self.live = False
        for context in self.contexts:
            context.graphs.discard(self)


Codes = tuple[Any, ...]


class _Runtime:
    """The functions, under Python's names."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def begin(self, stream: Any, mode: Any) -> Codes:
        if not isinstance(mode, CaptureMode):
            raise TypeError(f"Argument 'mode' has incorrect type (expected cudaStreamCaptureMode, got {type(mode)})")
        if int(stream) in (0, 1):
            return (ErrorCode["cudaErrorStreamCaptureUnsupported"],)
        state = self._stream(stream, "cudaStreamBeginCapture")
        if state.capture:
            return (ErrorCode["cudaErrorIllegalState"],)
        state.capture = Capture(int(mode), threading.get_ident())
        return (SUCCESS,)

    def end(self, stream: Any) -> Codes:
        state = self._stream(stream, "cudaStreamEndCapture")
        capture = state.capture
        if capture is None:
            return ErrorCode["cudaErrorIllegalState"], None
        if capture.mode != CaptureMode["cudaStreamCaptureModeRelaxed"] and capture.thread != threading.get_ident():
            return ErrorCode["cudaErrorStreamCaptureWrongThread"], None
        state.capture = None
        if capture.invalid:
            return ErrorCode["cudaErrorStreamCaptureInvalidated"], None
        return SUCCESS, Graph(capture.ops, capture.contexts, executable=False)

    def instantiate(self, graph: Any, flags: int) -> Codes:
        del flags
        graph = self._graph(graph, "cudaGraphInstantiate", executable=False)
        executable = Graph(graph.ops, graph.contexts, executable=True)
        executable.labels = graph.labels
        return SUCCESS, executable

    def launch(self, executable: Any, stream: Any) -> Codes:
        graph = self._graph(executable, "cudaGraphLaunch", executable=True)
        state = self._stream(stream, "cudaGraphLaunch")

        work = [op.sealed() for op in graph.ops]

        def run() -> None:
            for step in work:
                step()

        reads = tuple(span for op in graph.ops for span in op.reads)
        writes = tuple(span for op in graph.ops for span in op.writes)
        for start, stop in writes + reads:
            if start >= 1 << 48:
                self.machine.memory.find(start, stop - start, "cudaGraphLaunch")
        self.machine.streams.submit(state, Op("cudaGraphLaunch", run, reads, writes))
        self.machine.counters.graph_launches += 1
        self.machine.counters.replays.update(graph.labels)
        return (SUCCESS,)

    def destroy_graph(self, graph: Any) -> Codes:
        self._graph(graph, "cudaGraphDestroy", executable=False).destroy()
        return (SUCCESS,)

    def destroy_executable(self, executable: Any) -> Codes:
        self._graph(executable, "cudaGraphExecDestroy", executable=True).destroy()
        return (SUCCESS,)

    def _stream(self, handle: Any, what: str) -> Stream:
        self.machine.need_context(what)
        return self.machine.streams.find(int(handle), what)

    def _graph(self, graph: Any, what: str, *, executable: bool) -> Graph:
        if not isinstance(graph, Graph) or graph.executable != executable:
            raise TypeError(f"{what}: not a {'cudaGraphExec_t' if executable else 'cudaGraph_t'}: {graph!r}")
        if not graph.live:
            raise Misuse("destroyed graph", what)
        return graph


def _coded(function: Callable[..., Codes]) -> Callable[..., Codes]:
    def call(*args: Any, **kwargs: Any) -> Codes:
        try:
            return function(*args, **kwargs)
        except CudaError as error:
            unsupported = "capturing" in str(error) or "capture" in str(error)
            name = "cudaErrorStreamCaptureUnsupported" if unsupported else "cudaErrorUnknown"
            return (ErrorCode[name],)

    return call


def make_runtime(machine: Machine) -> ModuleType:
    """Return a fresh ``cuda.bindings.runtime``."""
    runtime = _Runtime(machine)
    module = ModuleType("cuda.bindings.runtime")
    functions: dict[str, Callable[..., Codes]] = {
        "cudaStreamBeginCapture": runtime.begin,
        "cudaStreamEndCapture": runtime.end,
        "cudaGraphInstantiate": runtime.instantiate,
        "cudaGraphLaunch": runtime.launch,
        "cudaGraphDestroy": runtime.destroy_graph,
        "cudaGraphExecDestroy": runtime.destroy_executable,
    }
    for name, function in functions.items():
        setattr(module, name, _coded(function))
    module.__dict__.update(cudaError_t=ErrorCode, cudaStreamCaptureMode=CaptureMode)
    return module
