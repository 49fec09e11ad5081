"""The fake PyCUDA: contexts, stream order and memory; and machines with missing packages."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from tests.fakes import MODULES, Misuse, install
from tests.fakes.lab import lab

__all__ = ["lab"]  # a fixture


def test_driver_calls_need_a_context(lab: SimpleNamespace) -> None:
    cuda = lab.cuda
    stream, event, memory = cuda.Stream(), cuda.Event(), cuda.mem_alloc(8)
    cuda.Context.pop()
    calls = [
        lambda: cuda.mem_alloc(8),
        cuda.Stream,
        cuda.Event,
        lambda: cuda.pagelocked_empty(3, np.float32),
        stream.synchronize,
        lambda: event.record(stream),
        lambda: cuda.memset_d8_async(memory, 0, 8, stream),
        cuda.Context.pop,
    ]
    for call in calls:
        with pytest.raises(cuda.LogicError, match="context"):
            call()
    cuda.Device(0).retain_primary_context().push()


def test_contexts_are_per_thread_and_balanced(lab: SimpleNamespace) -> None:
    cuda, errors = lab.cuda, []

    def work() -> None:
        try:
            cuda.mem_alloc(8)
        except cuda.LogicError as error:
            errors.append(error)
        cuda.Device(0).retain_primary_context().push()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1
    cuda.Context.pop()
    with pytest.raises(Misuse, match="context stack not empty: 1"):
        lab.machine.assert_balanced()
    lab.machine.stacks.clear()
    cuda.Device(0).retain_primary_context().push()


def test_context_outlives_its_objects(lab: SimpleNamespace) -> None:
    cuda = lab.cuda
    context = lab.machine.stack[-1]
    with pytest.raises(Misuse, match="detach before pop"):
        context.detach()
    cuda.Context.pop()
    with pytest.raises(Misuse, match="RuntimeImpl"):
        context.detach()
    lab.runtime = None
    context.detach()
    with pytest.raises(cuda.LogicError):
        context.push()
    cuda.Device(0).retain_primary_context().push()


def test_only_the_primary_context(lab: SimpleNamespace) -> None:
    with pytest.raises(Misuse, match="autoinit"):
        import_module("pycuda.autoinit")
    with pytest.raises(Misuse, match="make_context"):
        lab.cuda.Device(0).make_context()


def test_reading_before_waiting_returns_old_data(lab: SimpleNamespace) -> None:
    cuda, stream = lab.cuda, lab.cuda.Stream()
    sent, back, memory = (*(cuda.pagelocked_empty(4, np.float32) for _ in range(2)), cuda.mem_alloc(16))
    sent[:], back[:] = 7, 0
    cuda.memcpy_htod_async(memory, sent, stream)
    cuda.memcpy_dtoh_async(back, memory, stream)
    event = cuda.Event(cuda.event_flags.DISABLE_TIMING).record(stream)
    assert not back.any()
    assert not event.query()
    assert event.query()
    assert (back == 7).all()


def test_copies(lab: SimpleNamespace) -> None:
    cuda, stream = lab.cuda, lab.cuda.Stream()
    memory, pinned = cuda.mem_alloc(64), cuda.pagelocked_empty(4, np.float32)
    larger = cuda.pagelocked_empty((4, 4), np.float32)
    with pytest.raises(Misuse, match="pageable"):
        cuda.memcpy_htod_async(memory, np.zeros(4, np.float32), stream)
    with pytest.raises(Misuse, match="pageable"):
        cuda.memcpy_dtoh_async(np.zeros(4, np.float32), memory, stream)
    with pytest.raises(Misuse, match="default stream"):
        cuda.memcpy_htod_async(memory, pinned)
    with pytest.raises(ValueError, match="contiguous"):
        cuda.memcpy_htod_async(memory, larger[:, :2], stream)
    with pytest.raises(Misuse, match="out of bounds"):
        cuda.memcpy_htod_async(int(memory) + 32, larger, stream)
    with pytest.raises(Misuse, match="not device memory"):
        cuda.memcpy_htod_async(4096, pinned, stream)
    with pytest.raises(Misuse, match="overlapping"):
        cuda.memcpy_dtod_async(memory, int(memory) + 8, 16, stream)
    with pytest.raises(TypeError):
        cuda.memcpy_htod_async("x", pinned, stream)
    cuda.memcpy_htod_async(memory, pinned, stream)
    pinned[:] = 1
    with pytest.raises(Misuse, match="host memory changed"):
        stream.synchronize()


def test_memory(lab: SimpleNamespace) -> None:
    cuda, machine, stream = lab.cuda, lab.machine, lab.cuda.Stream()
    first = cuda.mem_alloc(1000)
    assert int(first) % 256 == 0
    assert machine.allocations == 1
    address = int(first)
    first.free()
    with pytest.raises(Misuse, match="use after free"):
        cuda.memset_d8_async(address, 0, 8, stream)
    with pytest.raises(cuda.LogicError):
        first.free()
    with pytest.raises(cuda.MemoryError):
        cuda.mem_alloc(machine.memory.total + 1)
    fresh, unset = cuda.pagelocked_empty(2, np.float32), cuda.mem_alloc(8)
    cuda.memcpy_dtoh_async(fresh, unset, stream)
    stream.synchronize()
    assert np.isnan(fresh).all()


def test_work_on_freed_memory(lab: SimpleNamespace) -> None:
    stream, memory = lab.cuda.Stream(), lab.cuda.mem_alloc(8)
    lab.cuda.memset_d8_async(memory, 0, 8, stream)
    memory.free()
    with pytest.raises(Misuse, match="use after free"):
        stream.synchronize()


@pytest.mark.parametrize("wait", ["stream", "event"])
def test_only_the_host_orders_streams(lab: SimpleNamespace, wait: str) -> None:
    cuda = lab.cuda
    one, two, memory, back = cuda.Stream(), cuda.Stream(), cuda.mem_alloc(16), cuda.pagelocked_empty(16, np.uint8)
    early = cuda.Event().record(one)
    cuda.memset_d8_async(memory, 3, 16, one)
    late = cuda.Event().record(one)
    early.synchronize()
    with pytest.raises(Misuse, match="race"):
        cuda.memcpy_dtoh_async(back, memory, two)
    (one if wait == "stream" else late).synchronize()
    cuda.memcpy_dtoh_async(back, memory, two)
    two.synchronize()
    assert (back == 3).all()


@pytest.mark.parametrize("flavor", MODULES)
def test_missing_packages(monkeypatch: pytest.MonkeyPatch, flavor: str) -> None:
    machine = install(monkeypatch, flavor)
    machine.faults.absent = frozenset(MODULES[flavor])
    for name in MODULES[flavor]:
        assert find_spec(name) is None
        with pytest.raises(ModuleNotFoundError):
            import_module(name)


def test_modules_are_removed_after_the_test() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        install(monkeypatch, "11")
        import_module("pycuda.driver")
    assert not {"pycuda", "pycuda.driver", "tensorrt"} & set(sys.modules)
