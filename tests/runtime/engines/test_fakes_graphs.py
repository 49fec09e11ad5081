"""The fake CUDA graphs: rules of capture and of captured contexts."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.fakes import Misuse
from tests.fakes.lab import ROW, lab, part
from tests.fakes.toy import WIDTH, expected

__all__ = ["lab"]  # a fixture


class Bench:
    """The first toy part, warmed up, with page-locked memory for input and output."""

    def __init__(self, lab: SimpleNamespace) -> None:
        cuda = lab.cuda
        self.lab, self.part, self.stream = lab, part(lab), cuda.Stream()
        self.x, self.f = cuda.mem_alloc(2 * ROW), cuda.mem_alloc(2 * ROW)
        self.sent, self.back = (cuda.pagelocked_empty((2, WIDTH), np.float32) for _ in range(2))
        self.part.bind(2, x=self.x, f=self.f)

    def work(self) -> None:
        self.lab.cuda.memcpy_htod_async(self.x, self.sent, self.stream)
        self.part.run(self.stream)
        self.lab.cuda.memcpy_dtoh_async(self.back, self.f, self.stream)

    def warm(self) -> None:
        self.work()
        self.stream.synchronize()

    def begin(self) -> None:
        mode = self.lab.rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        assert self.lab.rt.cudaStreamBeginCapture(self.stream.handle, mode) == (0,)

    def end(self) -> Any:
        return self.lab.rt.cudaStreamEndCapture(self.stream.handle)

    def capture(self) -> tuple[Any, Any]:
        self.begin()
        self.work()
        error, graph = self.end()
        assert error == 0
        error, executable = self.lab.rt.cudaGraphInstantiate(graph, 0)
        assert error == 0
        return graph, executable


def test_graph_replays_the_capture(lab: SimpleNamespace) -> None:
    bench = Bench(lab)
    bench.warm()
    graph, executable = bench.capture()
    assert lab.machine.counters.launches == {"feature#0": 2}
    assert lab.rt.cudaGraphDestroy(graph) == (0,)
    for number in (1, 2):
        bench.sent[...] = number
        assert lab.rt.cudaGraphLaunch(executable, bench.stream.handle) == (0,)
        bench.stream.synchronize()
        np.testing.assert_allclose(bench.back, expected(bench.sent[None]), rtol=1e-4)
    assert lab.machine.counters.graph_launches == 2
    assert lab.machine.counters.replays == {"feature#0": 2}
    assert lab.rt.cudaGraphExecDestroy(executable) == (0,)
    with pytest.raises(Misuse, match="destroyed graph"):
        lab.rt.cudaGraphLaunch(executable, bench.stream.handle)
    bench.warm()


def test_cold_context_invalidates_the_capture(lab: SimpleNamespace) -> None:
    bench, rt = Bench(lab), lab.rt
    bench.begin()
    assert not bench.part.context.execute_async_v3(bench.stream.handle)
    assert bench.end() == (rt.cudaError_t.cudaErrorStreamCaptureInvalidated, None)
    bench.warm()
    assert bench.part.context.set_input_shape("x", (1, WIDTH))
    bench.begin()
    assert not bench.part.context.execute_async_v3(bench.stream.handle), "not warm at this shape"
    assert bench.end()[1] is None


def _events(bench: Bench) -> None:
    bench.lab.cuda.Event().record(bench.stream).synchronize()


FORBIDDEN: list[Callable[[Bench], Any]] = [
    lambda bench: bench.stream.synchronize(),
    lambda bench: bench.lab.cuda.mem_alloc(8),
    lambda bench: bench.x.free(),
    lambda bench: bench.lab.cuda.pagelocked_empty(8, np.uint8),
    _events,
]


@pytest.mark.parametrize("call", FORBIDDEN)
def test_calls_that_invalidate_a_capture(lab: SimpleNamespace, call: Callable[[Bench], Any]) -> None:
    bench = Bench(lab)
    bench.warm()
    bench.begin()
    with pytest.raises(lab.cuda.LogicError, match="captur"):
        call(bench)
    assert not bench.part.context.execute_async_v3(bench.stream.handle)
    assert bench.end()[0] == lab.rt.cudaError_t.cudaErrorStreamCaptureInvalidated
    bench.warm()


def test_captured_context_has_no_other_use(lab: SimpleNamespace) -> None:
    bench = Bench(lab)
    bench.warm()
    graph, _ = bench.capture()
    context, other = bench.part.context, lab.cuda.mem_alloc(2 * ROW)
    assert context.set_input_shape("x", (2, WIDTH)), "as it was"
    for call in (
        lambda: context.set_input_shape("x", (1, WIDTH)),
        lambda: context.set_tensor_address("x", int(other)),
        lambda: context.execute_async_v3(bench.stream.handle),
    ):
        with pytest.raises(Misuse, match="captured context"):
            call()
    bench.begin()
    with pytest.raises(Misuse, match="captured twice"):
        bench.work()
    bench.end()
    assert lab.rt.cudaGraphDestroy(graph) == (0,)
    with pytest.raises(Misuse, match="destroyed graph"):
        lab.rt.cudaGraphInstantiate(graph, 0)


def test_graph_needs_its_memory_and_its_context(lab: SimpleNamespace) -> None:
    bench = Bench(lab)
    bench.warm()
    _, executable = bench.capture()
    bench.x.free()
    with pytest.raises(Misuse, match="use after free"):
        lab.rt.cudaGraphLaunch(executable, bench.stream.handle)
    bench = Bench(lab)
    bench.warm()
    _, executable = bench.capture()
    del bench.part
    with pytest.raises(Misuse, match="use after free"):
        lab.rt.cudaGraphLaunch(executable, bench.stream.handle)


def test_uncapturable_operations(lab: SimpleNamespace) -> None:
    bench = Bench(lab)
    bench.warm()
    lab.machine.faults.capture = True
    bench.begin()
    assert not bench.part.context.execute_async_v3(bench.stream.handle)
    assert bench.end()[1] is None
    mode = lab.rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    assert lab.rt.cudaStreamBeginCapture(0, mode)[0] == lab.rt.cudaError_t.cudaErrorStreamCaptureUnsupported
    with pytest.raises(TypeError):
        lab.rt.cudaStreamBeginCapture(bench.stream.handle, 1)
