"""All calls of CUDA: one GPU's primary context, one stream, memory, copies, events, and graphs where they can be had.

Through PyCUDA, in the primary context, which PyTorch and ONNX Runtime use as well. No thread is left with it: every
call pushes the context and pops it again, so that any thread may call and the stack is empty when the process ends.
Whatever is put on the stream is put there inside of ``with cuda``, which also holds a lock: while a graph is being
recorded, work of another thread would become part of it. PyCUDA has no CUDA graphs, so those go through cuda-python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....errors import MissingError
from ..install_hint import missing_package

Bytes = NDArray[np.uint8]
_NO_DRIVER = "install NVIDIA's driver, or choose --engine ort"


class GpuInfo(NamedTuple):
    """What a plan is bound to: name, compute capability (``90``), CUDA version of the driver (``13.0``); and memory."""

    name: str
    sm: str
    driver: str
    memory_bytes: int


class Cuda:
    """A GPU with its primary context retained and a stream that is not the default one."""

    def __init__(self, index: int = 0) -> None:
        """Take the GPU of this number.

        Raises:
            MissingError: PyCUDA, the driver or the GPU is not there.
        """
        self._driver = _driver()
        self._lock = RLock()
        self._allocations: list[Any] = []
        try:
            device = _device(self._driver, index)
            sm = "".join(map(str, device.compute_capability()))
            self.gpu = GpuInfo(device.name(), sm, _version(self._driver), device.total_memory())
            self._context: Any = device.retain_primary_context()
            with self:
                self._stream: Any = self._driver.Stream()
        except self._driver.Error as error:
            raise MissingError(f"the GPU cannot be used: {_line(error)}", _NO_DRIVER) from None
        self._runtime, self.no_graphs = _graph_runtime()

    def __enter__(self) -> Cuda:
        self._lock.acquire()
        try:
            self._context.push()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._driver.Context.pop()
        finally:
            self._lock.release()

    @property
    def stream_handle(self) -> int:
        """The stream, as TensorRT and cuda-python want it."""
        return int(self._stream.handle)

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` new bytes, a multiple of 256; they are freed by `close`.

        Raises:
            MissingError: the GPU has not that much left.
        """
        with self, self._enough(size, "memory of the GPU"):
            allocation = self._driver.mem_alloc(size)
        self._allocations.append(allocation)
        return int(allocation)

    def pinned(self, size: int) -> Bytes:
        """Return ``size`` bytes of the host that the GPU reads and writes without a copy by the CPU.

        Raises:
            MissingError: the host has not that much left to pin.
        """
        with self, self._enough(size, "page-locked memory"):
            array: Bytes = self._driver.pagelocked_empty((size,), np.uint8)
        return array

    def event(self) -> Any:
        """Return an event that takes no times, which would make it slower."""
        with self:
            return self._driver.Event(self._driver.event_flags.DISABLE_TIMING)

    def upload(self, pinned: Bytes, address: int) -> None:
        """Have page-locked bytes copied to the GPU."""
        with self:
            self._driver.memcpy_htod_async(address, pinned, self._stream)

    def download(self, address: int, pinned: Bytes) -> None:
        """Have as many bytes copied from the GPU as page-locked memory is given for."""
        with self:
            self._driver.memcpy_dtoh_async(pinned, address, self._stream)

    def copy(self, source: int, target: int, size: int) -> None:
        """Have ``size`` bytes copied from one address of the GPU to another."""
        with self:
            self._driver.memcpy_dtod_async(target, source, size, self._stream)

    def clear(self, address: int, size: int) -> None:
        """Have ``size`` bytes of the GPU set to zero."""
        with self:
            self._driver.memset_d8_async(address, 0, size, self._stream)

    def record(self, event: Any) -> None:
        """Have the event happen once all that is on the stream now is done."""
        with self:
            event.record(self._stream)

    def happened(self, event: Any) -> bool:
        """Say whether an event has happened."""
        with self:
            return bool(event.query())

    def wait(self, event: Any) -> None:
        """Wait for an event; the lock is free meanwhile, so that other threads can go on."""
        self._context.push()
        try:
            event.synchronize()
        finally:
            self._driver.Context.pop()

    def synchronize(self) -> None:
        """Wait for all that is on the stream."""
        with self:
            self._stream.synchronize()

    def record_graph(self, enqueue: Callable[[], bool]) -> Any:
        """Return the graph of what ``enqueue`` puts on the stream, None if it cannot be recorded."""
        runtime, graph = self._runtime, None
        with self:
            mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
            if self._failed(runtime.cudaStreamBeginCapture(self.stream_handle, mode)[0]):
                return None
            try:
                recorded = enqueue()
            finally:  # a stream that goes on recording would be of no more use
                error, graph = runtime.cudaStreamEndCapture(self.stream_handle)
            if self._failed(error) or not recorded:
                return None
            error, executable = runtime.cudaGraphInstantiate(graph, 0)
            runtime.cudaGraphDestroy(graph)
            return None if self._failed(error) else executable

    def launch(self, graph: Any) -> bool:
        """Put a recorded graph on the stream; say whether that worked."""
        with self:
            return not self._failed(self._runtime.cudaGraphLaunch(graph, self.stream_handle)[0])

    def destroy(self, graph: Any) -> None:
        """Let go of a recorded graph."""
        with self:
            self._runtime.cudaGraphExecDestroy(graph)

    def finish(self) -> None:
        """Wait for all that is on the stream, whatever becomes of it: after an error of the GPU all calls fail."""
        with self, suppress(self._driver.Error):
            self._stream.synchronize()

    def close(self) -> None:
        """Free all memory, then the stream, then the context; whoever still uses them must be gone."""
        self.finish()
        with self:
            while self._allocations:
                with suppress(self._driver.Error):
                    self._allocations.pop().free()
            self._stream = None
        self._context.detach()

    def _failed(self, error: Any) -> bool:
        return bool(error != self._runtime.cudaError_t.cudaSuccess)

    @contextmanager
    def _enough(self, size: int, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.MemoryError:
            hint = "give fewer --slots, or end what else uses it"
            raise MissingError(f"{self.gpu.name}: no {size / 1e6:.1f} MB left of the {what}", hint) from None


def _driver() -> Any:
    try:
        import pycuda  # noqa: F401
    except ImportError:
        raise missing_package("pycuda", "trt") from None
    try:
        import pycuda.driver as driver
    except (ImportError, OSError) as error:  # it links libcuda.so.1, which comes with the driver
        raise MissingError(f"there is no CUDA driver: {_line(error)}", _NO_DRIVER) from None
    return driver


def _device(driver: Any, index: int) -> Any:
    driver.init()
    count = driver.Device.count()
    if not count:
        raise MissingError("there is no NVIDIA GPU that CUDA could use", "plug one in, or choose --engine ort")
    if index >= count:
        raise MissingError(f"no cuda:{index}, CUDA sees {count} GPU{'s'[: count > 1]}", "choose another --device")
    return driver.Device(index)


def _version(driver: Any) -> str:
    number = driver.get_driver_version()
    return f"{number // 1000}.{number % 1000 // 10}"


def _graph_runtime() -> tuple[Any, str | None]:
    """Return cuda-python's runtime, or why there is none."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        return None, f"cuda-bindings cannot be imported ({_line(error)})"
    return runtime, None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
