"""Fake machine with one GPU: the state shared by the fake packages, with faults and counters for tests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import numpy as np

from .memory import LogicError, Memory
from .misuse import Misuse
from .streams import Op, Span, Stream, Streams


@dataclass
class Faults:
    """Faults to inject. Import faults take effect at the next import, the others at the next call.

    Attributes:
        absent: packages (such as tensorrt, tensorrt_rtx_bindings, pycuda, cuda) that are not installed.
        libnvinfer: ``import tensorrt`` fails, or that of TensorRT-RTX.
        driver: ``import pycuda.driver`` and loading ``libcuda.so.1`` fail.
        device: there is no GPU.
        build: the builder returns None.
        execute: ``execute_async_v3`` returns False from this launch on (counted from 1).
        capture: no context can be captured.
    """

    absent: frozenset[str] = frozenset()
    libnvinfer: bool = False
    driver: bool = False
    device: bool = False
    build: bool = False
    execute: int | None = None
    capture: bool = False


@dataclass
class Counters:
    """Counts of operations. A context is ``NAME#N``: the network's name, or else the graph's, and a number per name.

    Launches include those into a capture; launches repeated by a graph are counted in ``replays``.
    """

    launches: Counter[str] = field(default_factory=Counter)
    replays: Counter[str] = field(default_factory=Counter)
    graph_launches: int = 0
    builds: int = 0
    kernels_compiled: int = 0
    host_to_device: int = 0
    device_to_host: int = 0
    device_to_device: int = 0


@dataclass
class Machine:
    """The machine. Its memory limit is ``memory.total``, which tests may reduce."""

    gpu: str = "NVIDIA H200"
    sm: tuple[int, int] = (9, 0)
    total: int = 139 << 30
    graphs: bool = True
    faults: Faults = field(default_factory=Faults)
    counters: Counters = field(default_factory=Counters)
    streams: Streams = field(default_factory=Streams)
    initialized: bool = False
    logs: list[tuple[str, str]] = field(default_factory=list)
    context_numbers: Counter[str] = field(default_factory=Counter)
    trt_objects: WeakSet[Any] = field(default_factory=WeakSet)

    def __post_init__(self) -> None:
        self.memory = Memory(self.total)
        self.stacks: dict[int, list[Any]] = {}
        self._pinned: dict[int, tuple[int, int]] = {}

    @property
    def allocations(self) -> int:
        """Number of live PyCUDA allocations."""
        return len(self.memory.alive("pycuda"))

    @property
    def synchronizations(self) -> int:
        """Number of times the host waited."""
        return self.streams.synchronizations

    @property
    def stack(self) -> list[Any]:
        """The contexts pushed by this thread."""
        return self.stacks.setdefault(threading.get_ident(), [])

    def need_context(self, what: str) -> None:
        """Raise an error for a driver call in a thread without a context."""
        if not self.stack:
            raise LogicError(f"{what} failed: invalid device context - no currently active context?")

    def assert_balanced(self) -> None:
        """Raise Misuse if a thread left a context on its stack, which aborts the process on hardware."""
        left = sum(len(stack) for stack in self.stacks.values())
        if left:
            raise Misuse("context stack not empty", f"{left} pushed and never popped")

    def pin(self, array: np.ndarray) -> int:
        """Register the memory of an array as page-locked; return the key for `unpin`."""
        start, stop = span_of(array)
        self._pinned[start] = (start, stop)
        return start

    def unpin(self, key: int) -> None:
        """Unregister page-locked memory."""
        self._pinned.pop(key, None)

    def need_pinned(self, array: np.ndarray, what: str) -> None:
        """Raise Misuse for pageable memory."""
        start, stop = span_of(array)
        if not any(first <= start and stop <= last for first, last in self._pinned.values()):
            raise Misuse("pageable memory", f"{what}: the copy would silently be synchronous; use pagelocked_empty")

    def copy_in(self, target: int, source: np.ndarray) -> Op:
        """Return a copy to the device."""
        size = source.nbytes

        def run() -> None:
            self.memory.find(target, size, "copy to the device")[:] = _bytes(source)
            self.counters.host_to_device += size

        self.memory.find(target, size, "copy to the device")
        return Op("cuMemcpyHtoD", run, (span_of(source),), ((target, target + size),), source)

    def copy_out(self, target: np.ndarray, source: int) -> Op:
        """Return a copy to the host."""
        size = target.nbytes

        def run() -> None:
            _bytes(target)[:] = self.memory.find(source, size, "copy to the host")
            self.counters.device_to_host += size

        self.memory.find(source, size, "copy to the host")
        return Op("cuMemcpyDtoH", run, ((source, source + size),), (span_of(target),))

    def copy_across(self, target: int, source: int, size: int) -> Op:
        """Return a copy within the device."""
        if target < source + size and source < target + size:
            raise Misuse("overlapping copy", f"{size} bytes from {source:#x} to {target:#x}")

        def run() -> None:
            self.memory.find(target, size, "copy on the device")[:] = self.memory.find(source, size, "copy")
            self.counters.device_to_device += size

        self.memory.find(target, size, "copy on the device")
        self.memory.find(source, size, "copy on the device")
        return Op("cuMemcpyDtoD", run, ((source, source + size),), ((target, target + size),))

    def fill(self, target: int, value: int, size: int) -> Op:
        """Return a fill with one byte."""

        def run() -> None:
            self.memory.find(target, size, "memset")[:] = value

        self.memory.find(target, size, "memset")
        return Op("cuMemsetD8", run, (), ((target, target + size),))

    def submit(self, handle: int, make: Callable[[], Op], what: str) -> Stream:
        """Enqueue work on a stream by its handle."""
        self.need_context(what)
        stream = self.streams.find(handle, what)
        self.streams.submit(stream, make())
        return stream


def span_of(array: np.ndarray) -> Span:
    """Return the host memory span of an array."""
    start: int = array.__array_interface__["data"][0]
    return start, start + array.nbytes


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)
