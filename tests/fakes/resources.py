"""The classes of ``pycuda.driver``. Each machine has its own subclasses, with the machine as ``_machine``."""

from __future__ import annotations

from typing import Any

from .machine import Machine
from .memory import LogicError
from .misuse import Misuse
from .streams import Marker


class Device:
    """The only GPU."""

    __slots__ = ()
    _machine: Machine

    def __init__(self, number: int) -> None:
        if not self._machine.initialized:
            raise LogicError("cuDeviceGet failed: initialization error")
        if number != 0:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")

    @classmethod
    def count(cls) -> int:
        if not cls._machine.initialized:
            raise LogicError("cuDeviceGetCount failed: initialization error")
        return 1

    def name(self) -> str:
        return self._machine.gpu

    def compute_capability(self) -> tuple[int, int]:
        return self._machine.sm

    def total_memory(self) -> int:
        return self._machine.memory.total

    def pci_bus_id(self) -> str:
        return "0000:1A:00.0"

    def retain_primary_context(self) -> Context:
        context: Context = _kind(self._machine, Context)()
        return context

    def make_context(self, flags: int = 0) -> Context:
        raise Misuse("make_context", f"flags {flags}: handles of a non-primary context are invalid")


class Context:
    """One retain of the primary context."""

    __slots__ = ("_valid",)
    _machine: Machine

    def __init__(self) -> None:
        self._valid = True

    def push(self) -> None:
        if not self._valid:
            raise LogicError("cuCtxPushCurrent failed: invalid device context")
        self._machine.stack.append(self)

    @classmethod
    def pop(cls) -> None:
        if not cls._machine.stack:
            raise LogicError("context::pop failed: invalid device context - cannot pop non-current context")
        cls._machine.stack.pop()

    def detach(self) -> None:
        """Release the context: after it was popped, and after all TensorRT objects in it are destroyed."""
        if not self._valid:
            raise LogicError("context::detach failed: invalid device context - cannot detach from invalid context")
        if any(self in stack for stack in self._machine.stacks.values()):
            raise Misuse("detach before pop", "the context is still on a thread's stack")
        left = sorted(type(thing).__name__ for thing in self._machine.trt_objects)
        if left:
            raise Misuse("detach before TensorRT is destroyed", f"still alive: {', '.join(left)}")
        self._valid = False


class DeviceAllocation:
    """Device memory, freed at the latest with the object."""

    __slots__ = ("__weakref__", "_allocation")
    _machine: Machine

    def __init__(self, size: int) -> None:
        self._allocation = self._machine.memory.allocate(size, "pycuda")

    def __int__(self) -> int:
        if not self._allocation.live:
            raise Misuse("use after free", "the address of a freed DeviceAllocation was requested")
        return self._allocation.address

    __index__ = __int__

    def free(self) -> None:
        if not self._allocation.live:
            raise LogicError("device_allocation::free failed: invalid resource handle")
        self._machine.streams.forbid_capture("cuMemFree")
        self._machine.memory.free(self._allocation)

    def __del__(self) -> None:
        if hasattr(self, "_allocation"):
            self._machine.memory.free(self._allocation)


class Stream:
    """A queue of work, destroyed with the object."""

    __slots__ = ("__weakref__", "_stream")
    _machine: Machine

    def __init__(self) -> None:
        self._machine.need_context("cuStreamCreate")
        self._stream = self._machine.streams.create()

    @property
    def handle(self) -> int:
        return self._stream.handle

    def synchronize(self) -> None:
        self._machine.need_context("cuStreamSynchronize")
        self._machine.streams.synchronize(self._stream)

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self._stream.live = False


class Event:
    """A position in a stream. An event that was never recorded counts as completed, as on hardware."""

    __slots__ = ("__weakref__", "_marker")
    _machine: Machine

    def __init__(self, flags: int = 0) -> None:
        del flags  # they only change the costs of an event
        self._machine.need_context("cuEventCreate")
        self._marker: Marker | None = None

    def record(self, stream: Stream | None = None) -> Event:
        self._machine.need_context("cuEventRecord")
        if stream is None:
            raise Misuse("default stream", "Event.record without a stream")
        if not isinstance(stream, Stream):
            raise TypeError(f"Event.record: not a pycuda.driver.Stream: {stream!r}")
        self._marker = self._machine.streams.record(stream._stream)
        return self

    def synchronize(self) -> Event:
        self._machine.need_context("cuEventSynchronize")
        if self._marker is not None:
            self._machine.streams.synchronize_marker(self._marker)
        return self

    def query(self) -> bool:
        """Return whether the event was completed at the call; the call completes it, so the next one returns True."""
        self._machine.need_context("cuEventQuery")
        if self._marker is None:
            return True
        passed = self._marker.passed
        before = self._machine.streams.synchronizations
        self._machine.streams.synchronize_marker(self._marker, "cuEventQuery")
        self._machine.streams.synchronizations = before
        return passed


def _kind(machine: Machine, kind: type) -> Any:
    return type(kind.__name__, (kind,), {"_machine": machine, "__slots__": (), "__module__": "pycuda.driver"})
