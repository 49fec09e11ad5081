"""The fake TensorRT: a small program runs on every flavor, and what crashes on hardware is detected."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.fakes import Misuse, install, make_tensorrt
from tests.fakes.api import MODULES
from tests.fakes.lab import lab, part
from tests.fakes.toy import WIDTH, build, drive, expected, feature_onnx

__all__ = ["lab"]  # a fixture

FRAMES = np.random.default_rng(0).normal(size=(5, 3, WIDTH)).astype(np.float32)


def logged(lab: SimpleNamespace, text: str) -> bool:
    return any(text in message for _, message in lab.machine.logs)


def test_program_runs(lab: SimpleNamespace) -> None:
    np.testing.assert_allclose(drive(lab.trt, lab.cuda, FRAMES), expected(FRAMES), rtol=1e-4, atol=1e-5)
    assert lab.machine.counters.launches == {"feature#0": 5, "state#0": 5}
    assert lab.machine.counters.host_to_device == FRAMES.nbytes
    assert lab.machine.counters.device_to_host == FRAMES[0].nbytes
    assert lab.machine.synchronizations == 0, "it polled"
    assert lab.machine.allocations == 0


def test_calls_are_as_strict_as_bindings(lab: SimpleNamespace) -> None:
    trt, context = lab.trt, part(lab).context
    for call in (
        lambda: context.execute_async_v3(stream=1),
        lambda: context.set_tensor_address("x", 1.5),
        lambda: context.set_input_shape("x", 2),
        lambda: lab.runtime.deserialize_cuda_engine(Path("a.plan")),
        trt.ICudaEngine,
        lambda: 1 << trt.BuilderFlag.TF32,
    ):
        with pytest.raises(TypeError):
            call()
    assert not hasattr(context, "execute_async_v2")
    with pytest.raises(AttributeError):
        context.typo = 1
    with pytest.raises(NotImplementedError, match="set_aux_streams"):
        context.set_aux_streams([1])
    shape = context.get_tensor_shape("x")
    assert shape == (-1, WIDTH)
    with pytest.raises(TypeError):
        assert shape == context.get_tensor_shape("x")


def test_loggers(lab: SimpleNamespace) -> None:
    trt = lab.trt

    class Forgetful(trt.ILogger):
        def __init__(self) -> None:
            pass

    class Broken(trt.ILogger):
        def log(self, severity: Any, msg: str) -> None:
            raise ValueError(severity, msg)

    with pytest.raises(TypeError, match="must be called"):
        Forgetful()
    with pytest.raises(Misuse, match="exception in"):
        trt.Runtime(Broken()).deserialize_cuda_engine(b"foreign")


def test_plans_load_only_where_they_were_built(lab: SimpleNamespace) -> None:
    plan = build(lab.trt, lab.logger, feature_onnx())
    content = bytes(plan)
    with pytest.raises(TypeError):
        len(plan)
    load = lab.runtime.deserialize_cuda_engine
    assert load(plan) is not None
    assert load(content[:-1]) is None
    assert logged(lab, "Unexpected end")
    assert load(b"x" + content) is None
    assert logged(lab, "Magic tag")
    other = make_tensorrt(lab.flavor, version="1.2.3.4", machine=lab.machine)
    assert other.Runtime(other.Logger()).deserialize_cuda_engine(content) is None
    assert logged(lab, "Version tag")
    lab.machine.gpu = "NVIDIA another"
    assert (load(content) is not None) == (lab.flavor == "rtx")
    lab.machine.sm = (7, 5)
    assert load(content) is None
    assert logged(lab, "incompatible device")


@pytest.mark.parametrize("flavor", MODULES)
def test_only_one_flavor_is_installed(monkeypatch: pytest.MonkeyPatch, flavor: str) -> None:
    """Whatever is really installed on this machine."""
    machine = install(monkeypatch, flavor)
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        assert (find_spec(name) is not None) == (name in MODULES[flavor])
    machine.faults.libnvinfer = True
    with pytest.raises(ImportError, match=r"\.so\.1"):
        import_module(MODULES[flavor][0])


class TestRtx:
    """What differs in TensorRT-RTX."""

    @pytest.fixture
    def machine(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        return install(monkeypatch, "rtx")

    @pytest.mark.usefixtures("machine")
    def test_modules(self) -> None:
        short, long = (import_module(name) for name in MODULES["rtx"])
        assert short.__version__ == long.__version__ == "1.7.1.116"
        assert short.Runtime is long.Runtime

    def test_compute_capabilities(self, machine: Any) -> None:
        trt = import_module("tensorrt_rtx")
        logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
        builder, runtime = trt.Builder(logger), trt.Runtime(logger)
        network, config = builder.create_network(1), builder.create_builder_config()
        assert trt.OnnxParser(network, logger).parse(feature_onnx())
        profile = builder.create_optimization_profile()
        profile.set_shape("x", *[(1, WIDTH)] * 3)
        config.add_optimization_profile(profile)
        assert not config.set_compute_capability(trt.ComputeCapability.SM86, 0), "none is to be set"
        config.num_compute_capabilities = 1
        assert config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        plan = bytes(builder.build_serialized_network(network, config))
        header = plan[: runtime.engine_header_size]
        assert runtime.get_engine_validity(header) == (trt.EngineValidity.INVALID, 2)
        assert runtime.deserialize_cuda_engine(plan) is None
        machine.sm = (8, 6)
        assert runtime.get_engine_validity(header) == (trt.EngineValidity.VALID, 0)
        assert runtime.deserialize_cuda_engine(plan) is not None
        assert runtime.get_engine_validity(b"foreign") == (trt.EngineValidity.INVALID, 32)

    def test_builds_without_a_gpu(self, machine: Any) -> None:
        trt = import_module("tensorrt_rtx")
        machine.faults.driver = True
        logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
        plan = build(trt, logger, feature_onnx())
        assert trt.Runtime(logger).deserialize_cuda_engine(plan) is None

    def test_runtime_cache(self, machine: Any) -> None:
        """Kernels are compiled when an engine first runs, unless the cache has them; the cache is for one GPU."""
        trt, cuda = import_module("tensorrt_rtx"), import_module("pycuda.driver")
        cuda.init()
        cuda.Device(0).retain_primary_context().push()
        logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
        engine = trt.Runtime(logger).deserialize_cuda_engine(build(trt, logger, feature_onnx()))

        def run(content: bytes | None) -> bytes:
            config = engine.create_runtime_config()
            cache = config.create_runtime_cache()
            assert content is None or cache.deserialize(content)
            assert config.set_runtime_cache(cache)
            context, stream, x, f = (
                engine.create_execution_context(config),
                cuda.Stream(),
                *(cuda.mem_alloc(4 * WIDTH) for _ in "xf"),
            )
            assert context.set_input_shape("x", (1, WIDTH))
            assert context.set_tensor_address("x", int(x))
            assert context.set_tensor_address("f", int(f))
            assert not context.is_stream_capturable(stream.handle), "it has to compile first"
            assert context.execute_async_v3(stream.handle)
            stream.synchronize()
            assert context.is_stream_capturable(stream.handle)
            return bytes(cache.serialize())

        kept = run(None)
        assert machine.counters.kernels_compiled == 2
        assert run(kept) == kept
        assert machine.counters.kernels_compiled == 2
        machine.gpu = "NVIDIA another"
        assert not engine.create_runtime_config().create_runtime_cache().deserialize(kept)
        cuda.Context.pop()

    @pytest.mark.usefixtures("machine")
    def test_timing_caches_are_deprecated(self) -> None:
        trt = import_module("tensorrt_rtx")
        config = trt.Builder(trt.Logger()).create_builder_config()
        with pytest.warns(DeprecationWarning, match="no-ops"):
            assert config.set_timing_cache(config.create_timing_cache(b""), False)
