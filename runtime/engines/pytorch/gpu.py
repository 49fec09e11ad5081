"""GPU support for the PyTorch engine: matmul precision, CUDA graphs, and asynchronous copies.

It is kept separate from the engine, which is the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any, Protocol

from ....errors import MissingError, UsageError
from ..base import Array, EngineOptions
from ..device import TF32, select_gpu

if TYPE_CHECKING:
    import torch

EXACT = "ieee"  # torch's term for products that are not rounded
_WARM_UPS = 3  # on their first calls, libraries select kernels and allocate memory, which must not be captured
Compute = Callable[..., "torch.Tensor"]


def select_device(options: EngineOptions) -> torch.device:
    """Return the device to run on.

    Raises:
        UsageError: the device is not valid.
        MissingError: this machine does not have the device, or torch cannot use it.
    """
    import torch

    gpu = select_gpu(options)
    if gpu is None:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}, but finds no GPU" if torch.version.cuda else "without CUDA"
        raise MissingError(f"torch {torch.__version__} was built {built}", "see pytorch.org, or use --device cpu")
    if gpu.number >= torch.cuda.device_count():
        raise MissingError(
            f"there is no {gpu}: torch.cuda.device_count() is {torch.cuda.device_count()}", "choose another --device"
        )
    return torch.device("cuda", gpu.number)


class Float32MatmulPrecision:
    """Sets the precision of float32 products while a thread is inside the context: ``ieee`` (no rounding) or ``tf32``.

    The settings are process-wide, and a program that embeds vbench may have settings of its own, so these are restored
    when the last thread leaves. A thread that requests a different precision waits until then.
    """

    def __init__(self) -> None:
        self._left, self._inside = Condition(), 0
        self._kind = EXACT
        self._before: list[object] = []

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        """Apply the precision ``kind`` while the context is open."""
        with self._left:
            self._left.wait_for(lambda: not self._inside or self._kind == kind)
            if not self._inside:
                self._kind = kind
                self._before = _set_switches([values[kind] for *_, values in _switches()])
            self._inside += 1
        try:
            yield
        finally:
            with self._left:
                self._inside -= 1
                if not self._inside:
                    _set_switches(self._before)
                    self._left.notify_all()


float32_matmul_precision = Float32MatmulPrecision()  # one per process, as are the settings


def _switches() -> list[tuple[Any, str, dict[str, object]]]:
    """Return every setting's holder and name, and its value for each precision.

    Since version 2.9, torch has new settings in addition to the old ones; once a new one has been used, reading an old
    one raises an error.
    """
    import torch

    backends: Any = torch.backends
    cuda, cudnn = backends.cuda, backends.cudnn
    if hasattr(cuda.matmul, "fp32_precision"):
        named: dict[str, object] = {kind: kind for kind in (EXACT, TF32)}
        return [(holder, "fp32_precision", named) for holder in (cuda.matmul, cudnn.conv, cudnn.rnn)]
    allowed: dict[str, object] = {EXACT: False, TF32: True}
    return [(holder, "allow_tf32", allowed) for holder in (cuda.matmul, cudnn)]


def _set_switches(values: Sequence[object]) -> list[object]:
    """Change the settings and return their previous values."""
    before = [getattr(holder, name) for holder, name, _ in _switches()]
    for (holder, name, _), value in zip(_switches(), values):
        setattr(holder, name, value)
    return before


def fetch_from_gpu(tensor: torch.Tensor) -> Callable[[], Array]:
    """Start copying a tensor to the host; return a function that waits only for this copy and returns the array."""
    import torch

    with torch.cuda.device(tensor.device):
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()

    def values() -> Array:
        done.synchronize()
        array: Array = host.numpy()
        return array

    return values


class Recorder(Protocol):
    """Records a function's GPU work; `CapturedParts` uses ``torch.cuda`` only through this interface."""

    def __call__(self, compute: Callable[[], None]) -> Callable[[], None]:
        """Return a function that replays the work."""
        ...


def record_on_gpu(device: torch.device, compute: Callable[[], None]) -> Callable[[], None]:
    """Run a function a few times on a side stream, capture it as a CUDA graph, and return a function that replays it.

    Raises:
        UsageError: the function cannot be captured.
    """
    import torch

    with torch.cuda.device(device):
        return _capture_graph(compute)


def _capture_graph(compute: Callable[[], None]) -> Callable[[], None]:
    import torch

    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may be uploading pixels
            compute()
    except RuntimeError as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise UsageError(f"torch cannot capture this network as a CUDA graph ({reason})", "omit --graphs") from None
    replay: Callable[[], None] = graph.replay
    return replay


@dataclass(frozen=True)
class _Captured:
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor
    replay: Callable[[], None]


class CapturedParts:
    """CUDA graphs of parts, one for each part and set of input shapes.

    A graph has its own input and output tensors; every run copies the inputs in and the output out. This costs a few
    microseconds, but there is no need for a graph per slot address, and a graph is never replayed on memory that has
    been reused.
    """

    def __init__(self, record: Recorder) -> None:
        self._record, self._lock = record, Lock()
        self._captured: dict[tuple[object, ...], _Captured] = {}

    def run(
        self, part: str, compute: Compute, inputs: Sequence[torch.Tensor], out: torch.Tensor | None
    ) -> torch.Tensor:
        """Return ``compute(*inputs)``, written to ``out`` if given."""
        with self._lock:  # otherwise, two threads would write to the same inputs
            key = (part, *(tensor.shape for tensor in inputs))
            if key not in self._captured:
                self._captured[key] = self._capture(compute, inputs)
            captured = self._captured[key]
            for own, tensor in zip(captured.inputs, inputs):
                own.copy_(tensor)
            captured.replay()
            return captured.output.clone() if out is None else out.copy_(captured.output)

    def _capture(self, compute: Compute, inputs: Sequence[torch.Tensor]) -> _Captured:
        own = tuple(tensor.clone() for tensor in inputs)
        output = compute(*own)

        def recompute() -> None:
            output.copy_(compute(*own))

        return _Captured(own, output, self._record(recompute))
