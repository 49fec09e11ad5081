"""What PyTorch needs to be the reference on a GPU: products as they were asked for, graphs, copies not waited for.

All are kept apart from the engine, which is the same on every device.
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

EXACT = "ieee"  # torch's word for products that are not rounded
_WARM_UPS = 3  # libraries choose their kernels and allocate in the first calls, which no graph may hold
Compute = Callable[..., "torch.Tensor"]


def select_device(options: EngineOptions) -> torch.device:
    """Return the device to run on.

    Raises:
        UsageError: there is no such device anywhere.
        MissingError: this machine has not got it, or this torch cannot use it.
    """
    import torch

    gpu = select_gpu(options)
    if gpu is None:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}, but finds no GPU" if torch.version.cuda else "without CUDA"
        raise MissingError(
            f"torch {torch.__version__} was built {built}", "see pytorch.org, or run it with --device cpu"
        )
    if gpu.number >= torch.cuda.device_count():
        raise MissingError(f"no {gpu}, there are {torch.cuda.device_count()} GPUs", "choose another --device")
    return torch.device("cuda", gpu.number)


class Float32MatmulPrecision:
    """Says what products of float32 numbers are rounded to while any thread is inside: ``ieee`` (nothing) or ``tf32``.

    The switches are the process's, and a program that loads vbench has a right to its own: they are put back when the
    last thread has left, not when the first one does. A thread that wants them otherwise waits until then.
    """

    def __init__(self) -> None:
        self._left, self._inside = Condition(), 0
        self._kind = EXACT
        self._before: list[object] = []

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        """Stay inside for as long as the context is open."""
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


float32_matmul_precision = Float32MatmulPrecision()  # one for the process, like the switches


def _switches() -> list[tuple[Any, str, dict[str, object]]]:
    """Return the holder and the name of every switch, and its value for each kind of products.

    From 2.9 on torch has new ones beside the old, and refuses to be asked for the old where the new were used.
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
    """Set the switches and return what they were before."""
    before = [getattr(holder, name) for holder, name, _ in _switches()]
    for (holder, name, _), value in zip(_switches(), values):
        setattr(holder, name, value)
    return before


def fetch_from_gpu(tensor: torch.Tensor) -> Callable[[], Array]:
    """Start copying a tensor to the host; what is returned waits for the copy, and for nothing put on the GPU since."""
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
    """Records what a function does, once: the part of ``torch.cuda`` that `CapturedParts` needs."""

    def __call__(self, compute: Callable[[], None]) -> Callable[[], None]:
        """Return what does it all again."""
        ...


def record_on_gpu(device: torch.device, compute: Callable[[], None]) -> Callable[[], None]:
    """Run a function a few times beside all other work, capture it as a CUDA graph and return its replay.

    Raises:
        UsageError: something of it cannot be captured.
    """
    import torch

    with torch.cuda.device(device):
        return _capture_graph(compute)


def _capture_graph(compute: Callable[[], None]) -> Callable[[], None]:
    import torch

    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            compute()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may be bringing pixels
            compute()
    except RuntimeError as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise UsageError(
            f"torch cannot capture this network as a CUDA graph ({reason})", "leave --graphs out"
        ) from None
    replay: Callable[[], None] = graph.replay
    return replay


@dataclass(frozen=True)
class _Captured:
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor
    replay: Callable[[], None]


class CapturedParts:
    """Graphs of parts, one for every part and the shapes of its inputs.

    A graph works on tensors of its own, into which inputs are copied and from which the output is: that takes some
    microseconds of a GPU, against one graph for every address that a slot has, and none is ever replayed on memory that
    is somebody else's by now.
    """

    def __init__(self, record: Recorder) -> None:
        self._record, self._lock = record, Lock()
        self._captured: dict[tuple[object, ...], _Captured] = {}

    def run(
        self, part: str, compute: Compute, inputs: Sequence[torch.Tensor], out: torch.Tensor | None
    ) -> torch.Tensor:
        """Return ``compute(*inputs)``, in ``out`` where one is given."""
        with self._lock:  # two threads would write the same inputs
            key = (part, *(given.shape for given in inputs))
            if key not in self._captured:
                self._captured[key] = self._capture(compute, inputs)
            found = self._captured[key]
            for mine, given in zip(found.inputs, inputs):
                mine.copy_(given)
            found.replay()
            return found.output.clone() if out is None else out.copy_(found.output)

    def _capture(self, compute: Compute, inputs: Sequence[torch.Tensor]) -> _Captured:
        mine = tuple(given.clone() for given in inputs)
        output = compute(*mine)

        def again() -> None:
            output.copy_(compute(*mine))

        return _Captured(mine, output, self._record(again))
