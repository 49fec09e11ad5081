"""``pycuda.driver``: the subset that an inference program needs, as strict as hardware.

It is stricter than PyCUDA in one way: asynchronous calls reject the default stream and pageable memory, which work but
silently make the calls synchronous.
"""

from __future__ import annotations

import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .machine import Machine
from .memory import CudaError, LogicError, OutOfMemoryError
from .misuse import Misuse
from .resources import Context, Device, DeviceAllocation, Event, Stream

EVENT_FLAGS = SimpleNamespace(DEFAULT=0, BLOCKING_SYNC=1, DISABLE_TIMING=2)


def make_driver(machine: Machine) -> ModuleType:
    """Return a fresh ``pycuda.driver``."""
    module = ModuleType("pycuda.driver")
    functions = _Functions(machine)
    for name in dir(functions):
        if not name.startswith("_"):
            setattr(module, name, getattr(functions, name))
    for kind in (Context, Device, DeviceAllocation, Event, Stream):
        made = type(kind.__name__, (kind,), {"_machine": machine, "__slots__": (), "__module__": "pycuda.driver"})
        setattr(module, kind.__name__, made)
    module.__dict__.update(
        Error=CudaError,
        LogicError=LogicError,
        MemoryError=OutOfMemoryError,
        RuntimeError=type("RuntimeError", (CudaError,), {}),
        event_flags=EVENT_FLAGS,
    )
    functions._module = module
    return module


class _Functions:
    """The module's functions, bound to a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._module = ModuleType("unset")

    def init(self, flags: int = 0) -> None:
        del flags
        if self._machine.faults.device:
            raise self._module.RuntimeError("cuInit failed: no CUDA-capable device is detected")
        self._machine.initialized = True

    def get_driver_version(self) -> int:
        return 13000

    def mem_alloc(self, size: int) -> DeviceAllocation:
        self._machine.need_context("cuMemAlloc")
        self._machine.streams.forbid_capture("cuMemAlloc")
        allocation: DeviceAllocation = self._module.DeviceAllocation(_integer(size))
        return allocation

    def pagelocked_empty(self, shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        del mem_flags
        self._machine.need_context("cuMemHostAlloc")
        self._machine.streams.forbid_capture("cuMemHostAlloc")
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        owner = np.full(max(count, 1), 0xFF, np.uint8)
        weakref.finalize(owner, self._machine.unpin, self._machine.pin(owner))
        return owner[:count].view(dtype).reshape(shape, order=order)  # type: ignore[call-overload]

    def memcpy_htod_async(self, dest: Any, src: Any, stream: Any = None) -> None:
        array = _host(src)
        self._machine.need_context("cuMemcpyHtoDAsync")
        self._machine.need_pinned(array, "memcpy_htod_async")
        self._async(stream, "cuMemcpyHtoDAsync", lambda: self._machine.copy_in(_pointer(dest), array))

    def memcpy_dtoh_async(self, dest: Any, src: Any, stream: Any = None) -> None:
        array = _host(dest, written=True)
        self._machine.need_context("cuMemcpyDtoHAsync")
        self._machine.need_pinned(array, "memcpy_dtoh_async")
        self._async(stream, "cuMemcpyDtoHAsync", lambda: self._machine.copy_out(array, _pointer(src)))

    def memcpy_dtod_async(self, dest: Any, src: Any, size: int, stream: Any = None) -> None:
        where = _pointer(dest), _pointer(src), _integer(size)
        self._async(stream, "cuMemcpyDtoDAsync", lambda: self._machine.copy_across(*where))

    def memset_d8_async(self, dest: Any, data: int, count: int, stream: Any = None) -> None:
        value = _integer(data)
        self._async(stream, "cuMemsetD8Async", lambda: self._machine.fill(_pointer(dest), value, _integer(count)))

    def _async(self, stream: Any, what: str, make: Any) -> None:
        if stream is None:
            raise Misuse("default stream", f"{what} without a stream")
        if not isinstance(stream, Stream):
            raise TypeError(f"{what}: not a pycuda.driver.Stream: {stream!r}")
        self._machine.submit(stream.handle, make, what)


def _integer(value: Any) -> int:
    if isinstance(value, (bool, float, str)) or not hasattr(value, "__index__"):
        raise TypeError(f"Python argument types did not match C++ signature: {value!r}")
    return int(value)


def _pointer(value: Any) -> int:
    if isinstance(value, DeviceAllocation) or type(value) is int:
        return int(value)
    raise TypeError(f"Python argument types did not match C++ signature: {value!r} is not a device pointer")


def _host(value: Any, *, written: bool = False) -> np.ndarray:
    array = np.frombuffer(value, np.uint8) if isinstance(value, (bytes, bytearray, memoryview)) else value
    if not isinstance(array, (np.ndarray, np.generic)):
        raise TypeError(f"{type(value).__name__} does not support the buffer interface")
    array = np.asarray(array)
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        raise ValueError("ndarray is not contiguous")
    if written and not array.flags.writeable:
        raise ValueError("buffer is not writable")
    return array.T if not array.flags.c_contiguous else array
