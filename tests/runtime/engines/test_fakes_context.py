"""The execution context of the fake TensorRT: shapes, addresses, memory, streams."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.fakes import Misuse
from tests.fakes.lab import ROW, lab, part
from tests.fakes.toy import WIDTH, Part, build, expected, state_onnx

__all__ = ["lab"]  # a fixture


def bound(lab: SimpleNamespace, batch: int = 2, **strategy: object) -> tuple[Part, object, object]:
    """Return the first toy part with its memory."""
    made, x, f = part(lab, **strategy), lab.cuda.mem_alloc(4 * ROW), lab.cuda.mem_alloc(4 * ROW)
    made.bind(batch, x=x, f=f)
    return made, x, f


def test_execution_checks_shapes_and_addresses(lab: SimpleNamespace) -> None:
    cuda, made = lab.cuda, part(lab)
    stream, memory = cuda.Stream(), cuda.mem_alloc(8 * ROW)
    run, address = made.context.execute_async_v3, int(memory)
    assert made.context.infer_shapes() == ["x"]
    with pytest.raises(Misuse, match="shapes incomplete"):
        run(stream.handle)
    assert made.context.set_input_shape("x", (1, WIDTH))
    assert not made.context.set_input_shape("x", (5, WIDTH)), "outside the profile"
    with pytest.raises(Misuse, match="False ignored"):
        run(stream.handle)
    assert not made.context.set_input_shape("x", (2, 2, WIDTH))
    assert not made.context.set_input_shape("f", (2, WIDTH))
    assert made.context.set_input_shape("x", (2, WIDTH))
    assert tuple(made.context.get_tensor_shape("f")) == (2, WIDTH)
    with pytest.raises(Misuse, match="address not set: feature#0: x, f"):
        run(stream.handle)
    with pytest.raises(Misuse, match="alignment"):
        made.context.set_tensor_address("x", address + 4)
    with pytest.raises(Misuse, match="not device memory"):
        made.context.set_tensor_address("x", 4096)
    assert not made.context.set_tensor_address("typo", address)
    made.bind(2, x=address, f=address + ROW)
    with pytest.raises(Misuse, match="overlap"):
        run(stream.handle)
    made.bind(2, x=address, f=address + 7 * ROW)
    with pytest.raises(Misuse, match="out of bounds"):
        run(stream.handle)
    made.bind(2, x=address, f=address + 4 * ROW)
    for handle, rule in ((0, "default stream"), (1234, "dead stream")):
        with pytest.raises(Misuse, match=rule):
            run(handle)
    assert run(stream.handle)
    memory.free()
    with pytest.raises(Misuse, match="use after free"):
        run(stream.handle)


def test_execution_needs_a_live_context(lab: SimpleNamespace) -> None:
    made, _x, _f = bound(lab)
    stream, handle = lab.cuda.Stream(), lab.cuda.Stream().handle
    with pytest.raises(Misuse, match="dead stream"):
        made.context.execute_async_v3(handle)
    lab.cuda.Context.pop()
    with pytest.raises(Misuse, match="no current context"):
        made.context.execute_async_v3(stream.handle)
    lab.cuda.Device(0).retain_primary_context().push()
    lab.cuda.memset_d8_async(_x, 0, ROW, stream)
    made.run(stream)
    del made
    with pytest.raises(Misuse, match="context destroyed"):
        stream.synchronize()


def test_context_runs_on_one_stream_at_a_time(lab: SimpleNamespace) -> None:
    made, _x, _f = bound(lab)
    made.run(lab.cuda.Stream())
    with pytest.raises(Misuse, match="race"):
        made.run(lab.cuda.Stream())


def test_user_managed_memory(lab: SimpleNamespace) -> None:
    managed = lab.trt.ExecutionContextAllocationStrategy.USER_MANAGED
    made, x, f = bound(lab, strategy=managed)
    size, stream = made.engine.device_memory_size_v2, lab.cuda.Stream()
    arena = lab.cuda.mem_alloc(size)
    with pytest.raises(Misuse, match="no activation memory"):
        made.run(stream)
    need = made.context.update_device_memory_size_for_shapes()
    assert need < size
    with pytest.raises(Misuse, match="too small"):
        made.context.set_device_memory(int(arena), need - 256)
    with pytest.raises(Misuse, match="out of bounds"):
        made.context.set_device_memory(int(arena), size + 256)
    made.context.set_device_memory(int(arena), need)
    frames, out = (lab.cuda.pagelocked_empty((1, 2, WIDTH), np.float32) for _ in range(2))
    frames[...] = 1
    lab.cuda.memcpy_htod_async(x, frames, stream)
    made.run(stream)
    lab.cuda.memcpy_dtoh_async(out, f, stream)
    stream.synchronize()
    np.testing.assert_allclose(out[0], expected(frames), rtol=1e-4)
    made.bind(4)
    assert made.context.set_input_shape("x", (4, WIDTH))
    with pytest.raises(Misuse, match="too small"):
        made.run(stream)
    with pytest.raises(Misuse, match="STATIC"):
        part(lab).context.set_device_memory(int(arena), size)


def test_memory_accounting_and_exhaustion(lab: SimpleNamespace) -> None:
    memory = lab.machine.memory
    before = memory.used
    made = part(lab)
    assert memory.used >= before + made.engine.device_memory_size_v2
    engine, plan = made.engine, build(lab.trt, lab.logger, state_onnx())
    memory.total = memory.used
    assert engine.create_execution_context() is None
    assert lab.runtime.deserialize_cuda_engine(plan) is None
    del made, engine
    assert memory.used == before
