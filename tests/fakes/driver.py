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

EVENT_FLAGS = SimpleNamespace(DEFAULT=0, BLOCKING_SYNC=1, DISABLE_TIMING=2, INTERPROCESS=4)
HOST_ALLOC_FLAGS = SimpleNamespace(PORTABLE=1, DEVICEMAP=2, WRITECOMBINED=4)
HOST_REGISTER_FLAGS = SimpleNamespace(PORTABLE=1, DEVICEMAP=2)
CTX_FLAGS = SimpleNamespace(
    SCHED_AUTO=0, SCHED_SPIN=1, SCHED_YIELD=2, SCHED_BLOCKING_SYNC=4, SCHED_MASK=7, MAP_HOST=8, LMEM_RESIZE_TO_MAX=16
)


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
        LaunchError=type("LaunchError", (CudaError,), {}),
        event_flags=EVENT_FLAGS,
        ctx_flags=CTX_FLAGS,
        host_alloc_flags=HOST_ALLOC_FLAGS,
        mem_host_register_flags=HOST_REGISTER_FLAGS,
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

    def get_version(self) -> tuple[int, int, int]:
        return (13, 0, 0)

    def get_driver_version(self) -> int:
        return 13000

    def mem_get_info(self) -> tuple[int, int]:
        self._machine.need_context("cuMemGetInfo")
        memory = self._machine.memory
        return memory.total - memory.used, memory.total

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

    def pagelocked_zeros(self, shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        array = self.pagelocked_empty(shape, dtype, order, mem_flags)
        array[...] = 0
        return array

    def register_host_memory(self, ary: np.ndarray, flags: int = 0) -> np.ndarray:
        del flags
        self._machine.need_context("cuMemHostRegister")
        base = ary if ary.base is None else ary.base
        weakref.finalize(base, self._machine.unpin, self._machine.pin(ary))
        return ary

    def memcpy_htod(self, dest: Any, src: Any) -> None:
        self._machine.need_context("cuMemcpyHtoD")
        op = self._machine.copy_in(_pointer(dest), _host(src))
        self._machine.streams.synchronous(op, returns_early=True)

    def memcpy_dtoh(self, dest: Any, src: Any) -> None:
        self._machine.need_context("cuMemcpyDtoH")
        op = self._machine.copy_out(_host(dest, written=True), _pointer(src))
        self._machine.streams.synchronous(op, returns_early=False)

    def memcpy_dtod(self, dest: Any, src: Any, size: int) -> None:
        self._machine.need_context("cuMemcpyDtoD")
        op = self._machine.copy_across(_pointer(dest), _pointer(src), _integer(size))
        self._machine.streams.synchronous(op, returns_early=True)

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
        pattern = _integer(data).to_bytes(1, "little")
        self._async(stream, "cuMemsetD8Async", lambda: self._machine.fill(_pointer(dest), pattern, _integer(count)))

    def memset_d32_async(self, dest: Any, data: int, count: int, stream: Any = None) -> None:
        pattern = _integer(data).to_bytes(4, "little")
        self._async(stream, "cuMemsetD32Async", lambda: self._machine.fill(_pointer(dest), pattern, _integer(count)))

    def memset_d8(self, dest: Any, data: int, count: int) -> None:
        self._machine.need_context("cuMemsetD8")
        op = self._machine.fill(_pointer(dest), _integer(data).to_bytes(1, "little"), _integer(count))
        self._machine.streams.synchronous(op, returns_early=True)

    def memset_d32(self, dest: Any, data: int, count: int) -> None:
        self._machine.need_context("cuMemsetD32")
        op = self._machine.fill(_pointer(dest), _integer(data).to_bytes(4, "little"), _integer(count))
        self._machine.streams.synchronous(op, returns_early=True)

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
