"""All CUDA calls: one GPU's primary context, one stream, memory, copies, events, and graphs if available.

PyCUDA is used in the primary context, which PyTorch and ONNX Runtime share. Every call pushes the context and pops it
afterward, so that any thread can make calls and the context stack is empty when the process ends. All work is enqueued
inside ``with cuda``, which also holds a lock: during graph capture, another thread's work would become part of the
graph. PyCUDA does not support CUDA graphs, so these use cuda-python.
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
    """GPU properties relevant to plans: name, compute capability (``90``), driver's CUDA version (``13.0``), memory."""

    name: str
    sm: str
    driver: str
    memory_bytes: int


class Cuda:
    """A GPU with its primary context retained and a non-default stream."""

    def __init__(self, index: int = 0, extra: str = "trt") -> None:
        """Open the GPU with this index; ``extra`` is the extra to install if PyCUDA is missing.

        Raises:
            MissingError: PyCUDA, the driver or the GPU is missing.
        """
        self._driver = _driver(extra)
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
            raise MissingError(f"cannot use the GPU: {_line(error)}", _NO_DRIVER) from None
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
        """Stream handle to pass to TensorRT and cuda-python."""
        return int(self._stream.handle)

    def allocate(self, size: int) -> int:
        """Allocate ``size`` bytes, which `close` frees, and return their address, a multiple of 256.

        Raises:
            MissingError: the GPU is out of memory.
        """
        with self, self._allocating(size, "GPU memory"):
            allocation = self._driver.mem_alloc(size)
        self._allocations.append(allocation)
        return int(allocation)

    def pinned(self, size: int) -> Bytes:
        """Allocate ``size`` bytes of page-locked host memory, which the GPU can access directly.

        Raises:
            MissingError: the host cannot pin that much memory.
        """
        with self, self._allocating(size, "page-locked memory"):
            array: Bytes = self._driver.pagelocked_empty((size,), np.uint8)
        return array

    def event(self) -> Any:
        """Return an event with timing disabled, which makes it faster."""
        with self:
            return self._driver.Event(self._driver.event_flags.DISABLE_TIMING)

    def upload(self, pinned: Bytes, address: int) -> None:
        """Enqueue a copy of page-locked bytes to the GPU."""
        with self:
            self._driver.memcpy_htod_async(address, pinned, self._stream)

    def download(self, address: int, pinned: Bytes) -> None:
        """Enqueue a copy from the GPU that fills the given page-locked memory."""
        with self:
            self._driver.memcpy_dtoh_async(pinned, address, self._stream)

    def copy(self, source: int, target: int, size: int) -> None:
        """Enqueue a copy of ``size`` bytes between two GPU addresses."""
        with self:
            self._driver.memcpy_dtod_async(target, source, size, self._stream)

    def clear(self, address: int, size: int) -> None:
        """Enqueue the zeroing of ``size`` bytes on the GPU."""
        with self:
            self._driver.memset_d8_async(address, 0, size, self._stream)

    def record(self, event: Any) -> None:
        """Enqueue the event after all work enqueued so far."""
        with self:
            event.record(self._stream)

    def happened(self, event: Any) -> bool:
        """Return whether an event has completed."""
        with self:
            return bool(event.query())

    def wait(self, event: Any) -> None:
        """Wait for an event without holding the lock, so that other threads can make progress."""
        self._context.push()
        try:
            event.synchronize()
        finally:
            self._driver.Context.pop()

    def synchronize(self) -> None:
        """Wait for all enqueued work."""
        with self:
            self._stream.synchronize()

    def record_graph(self, enqueue: Callable[[], bool]) -> Any:
        """Return the graph of the work that ``enqueue`` enqueues, or None if it cannot be captured."""
        runtime, graph = self._runtime, None
        with self:
            mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
            if self._failed(runtime.cudaStreamBeginCapture(self.stream_handle, mode)[0]):
                return None
            try:
                recorded = enqueue()
            finally:  # a stream that is left in capture mode is unusable
                error, graph = runtime.cudaStreamEndCapture(self.stream_handle)
            if self._failed(error) or not recorded:
                return None
            error, executable = runtime.cudaGraphInstantiate(graph, 0)
            runtime.cudaGraphDestroy(graph)
            return None if self._failed(error) else executable

    def launch(self, graph: Any) -> bool:
        """Launch a recorded graph on the stream; return whether it succeeded."""
        with self:
            return not self._failed(self._runtime.cudaGraphLaunch(graph, self.stream_handle)[0])

    def destroy(self, graph: Any) -> None:
        """Destroy a recorded graph."""
        with self:
            self._runtime.cudaGraphExecDestroy(graph)

    def finish(self) -> None:
        """Wait for all enqueued work, ignoring errors, because after a GPU error every call fails."""
        with self, suppress(self._driver.Error):
            self._stream.synchronize()

    def close(self) -> None:
        """Free all memory, then the stream, then the context; none of them may be used afterward."""
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
    def _allocating(self, size: int, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.MemoryError:
            hint = "reduce --slots, or close other programs that use this memory"
            raise MissingError(f"{self.gpu.name}: cannot allocate {size / 1e6:.1f} MB of {what}", hint) from None


def _driver(extra: str) -> Any:
    try:
        import pycuda  # noqa: F401
    except ImportError:
        raise missing_package("pycuda", extra) from None
    try:
        import pycuda.driver as driver
    except (ImportError, OSError) as error:  # it links to libcuda.so.1, which comes with the driver
        raise MissingError(f"cannot load the CUDA driver: {_line(error)}", _NO_DRIVER) from None
    return driver


def _device(driver: Any, index: int) -> Any:
    driver.init()
    count = driver.Device.count()
    if not count:
        raise MissingError("CUDA found no NVIDIA GPU", "install one, or choose --engine ort")
    if index >= count:
        what = f"there is no cuda:{index}: CUDA sees {count} GPU{'s'[: count > 1]}"
        raise MissingError(what, "choose another --device")
    return driver.Device(index)


def _version(driver: Any) -> str:
    number = driver.get_driver_version()
    return f"{number // 1000}.{number % 1000 // 10}"


def _graph_runtime() -> tuple[Any, str | None]:
    """Return cuda-python's runtime, or None and the reason why it cannot be used."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        return None, f"cuda-bindings cannot be imported ({_line(error)})"
    return runtime, None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
