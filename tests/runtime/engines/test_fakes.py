"""The fake TensorRT: a small program runs on both major releases, and every rule is enforced."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.fakes import Misuse, make_tensorrt
from tests.fakes.lab import lab, part
from tests.fakes.toy import WIDTH, branch_onnx, build, drive, expected, feature_onnx, state_onnx

__all__ = ["lab"]  # a fixture

FRAMES = np.random.default_rng(0).normal(size=(5, 3, WIDTH)).astype(np.float32)


def said(lab: SimpleNamespace, text: str) -> bool:
    return any(text in message for _, message in lab.machine.logs)


def test_program_runs_on_both_releases(lab: SimpleNamespace) -> None:
    np.testing.assert_allclose(drive(lab.trt, lab.cuda, FRAMES), expected(FRAMES), rtol=1e-4, atol=1e-5)
    assert lab.machine.counters.launches == {"feature#0": 5, "state#0": 5}
    assert lab.machine.counters.host_to_device == FRAMES.nbytes
    assert lab.machine.counters.device_to_host == FRAMES[0].nbytes
    assert lab.machine.synchronizations == 0, "it polled"
    assert lab.machine.allocations == 0


def test_names_differ_between_releases(lab: SimpleNamespace) -> None:
    trt = lab.trt
    assert hasattr(trt.BuilderFlag, "FP16") == lab.ten
    assert ("FP16" in trt.BuilderFlag.__members__) == lab.ten
    assert hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH") == lab.ten
    assert hasattr(trt, "IInt8EntropyCalibrator2") == lab.ten
    assert hasattr(trt.ICudaEngine, "device_memory_size") == lab.ten
    assert hasattr(trt.Refitter, "release_refit_resources") != lab.ten
    assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == int(lab.ten)
    assert not hasattr(make_tensorrt("10", version="10.3.0.26").BuilderFlag, "EDITABLE_TIMING_CACHE")


def test_calls_are_as_strict_as_bindings(lab: SimpleNamespace) -> None:
    trt = lab.trt
    builder = trt.Builder(lab.logger)
    config = builder.create_builder_config()
    network = builder.create_network()
    with pytest.raises(AttributeError):
        config.max_workspace_size = 1
    with pytest.raises(AttributeError):
        network.num_inputs = 1
    with pytest.raises(TypeError):
        builder.create_network(flag=1)
    with pytest.raises(TypeError):
        config.set_flag(6)
    with pytest.raises(TypeError):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5)
    with pytest.raises(TypeError):
        trt.OnnxParser(network, lab.logger).parse_from_file(Path("a.onnx"))
    with pytest.raises(TypeError, match="No constructor"):
        trt.ICudaEngine()
    with pytest.raises(TypeError):
        1 << trt.BuilderFlag.TF32
    with pytest.raises(NotImplementedError, match="add_shuffle"):
        network.add_shuffle(None)
    with pytest.raises(NotImplementedError, match="progress_monitor"):
        config.progress_monitor = None
    with pytest.raises(Misuse, match="optimization level"):
        config.builder_optimization_level = 6
    with pytest.raises(Misuse, match="network flags"):
        builder.create_network(1 << 7)
    with pytest.raises(Misuse, match="memory pool limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 60)


def test_loggers(lab: SimpleNamespace) -> None:
    trt = lab.trt

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[tuple[Any, str]] = []

        def log(self, severity: Any, msg: str) -> None:
            self.lines.append((severity, msg))

    class Forgetful(trt.ILogger):
        def __init__(self) -> None:
            pass

    class Broken(trt.ILogger):
        def log(self, severity: Any, msg: str) -> None:
            raise ValueError(severity, msg)

    logger = Collector()
    assert build(trt, logger, feature_onnx(), batches=None) is None
    assert (trt.ILogger.ERROR, True) in [
        (severity, "no optimization profile" in line) for severity, line in logger.lines
    ]
    with pytest.raises(TypeError, match="must be called"):
        Forgetful()
    with pytest.raises(Misuse, match="exception in"):
        build(trt, Broken(), feature_onnx(), batches=None)


def test_parser_errors(lab: SimpleNamespace, tmp_path: Path) -> None:
    trt = lab.trt

    def refused(call: str, argument: Any) -> str:
        parser = trt.OnnxParser(trt.Builder(lab.logger).create_network(), lab.logger)
        assert not getattr(parser, call)(argument)
        text = parser.get_error(parser.num_errors - 1).desc()
        assert said(lab, text)
        return str(text)

    assert "Failed to parse" in refused("parse", b"no model")
    assert "Could not open" in refused("parse_from_file", str(tmp_path / "none.onnx"))
    lab.machine.faults.operators = frozenset({"Relu"})
    assert "Plugin not found" in refused("parse", feature_onnx())
    lab.machine.faults.operators, lab.machine.faults.parse = frozenset(), True
    refused("parse", feature_onnx())


def test_network_of_a_model(lab: SimpleNamespace, tmp_path: Path) -> None:
    trt = lab.trt
    (tmp_path / "m.onnx").write_bytes(state_onnx())
    network = trt.Builder(lab.logger).create_network()
    parser = trt.OnnxParser(network, lab.logger)
    assert parser.parse_from_file(str(tmp_path / "m.onnx"))
    assert [network.get_input(i).name for i in range(network.num_inputs)] == ["f", "before"]
    assert tuple(network.get_input(0).shape) == (-1, WIDTH)
    assert network.get_output(0).dtype == trt.float32
    with pytest.raises(Misuse, match="Dims compared"):
        assert network.get_input(0).shape == (-1, WIDTH)
    with pytest.raises(Misuse, match="parsed twice"):
        parser.parse(state_onnx())


@pytest.mark.parametrize("shapes", [((2, 8), (1, 8), (4, 8)), ((1, 8), (2, 8), (4, 8, 8))])
def test_profiles_are_in_order_and_of_one_rank(lab: SimpleNamespace, shapes: Any) -> None:
    with pytest.raises(ValueError, match="inconsistent"):
        lab.trt.Builder(lab.logger).create_optimization_profile().set_shape("x", *shapes)


def test_builder_errors(lab: SimpleNamespace) -> None:
    trt = lab.trt
    builder = trt.Builder(lab.logger)
    assert builder.create_builder_config().add_optimization_profile(builder.create_optimization_profile()) == -1
    assert build(trt, lab.logger, feature_onnx(8), batches=(1, 2, 4)) is None, "the dimension is not dynamic"
    lab.machine.faults.build = True
    assert build(trt, lab.logger, feature_onnx()) is None
    if lab.ten:
        assert build(trt, lab.logger, feature_onnx(8), None, precision=[trt.BuilderFlag.FP16]) is None


def test_unsupported_features_raise(lab: SimpleNamespace) -> None:
    with pytest.raises(NotImplementedError, match="VERSION_COMPATIBLE"):
        build(lab.trt, lab.logger, feature_onnx(), precision=[lab.trt.BuilderFlag.VERSION_COMPATIBLE])
    with pytest.raises(NotImplementedError, match="Refitter"):
        lab.trt.Refitter(part(lab).engine, lab.logger)


def test_precision_of_strong_and_weak_typing(lab: SimpleNamespace) -> None:
    trt = lab.trt

    def words(kind: int, **options: Any) -> set[str]:
        plan = build(trt, lab.logger, feature_onnx(2, kind), None, **options)
        inspector = lab.runtime.deserialize_cuda_engine(plan).create_engine_inspector()
        information = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
        assert ("Bindings" if lab.ten else "I/O Tensors") in information
        outputs = [output for layer in information["Layers"] for output in layer["Outputs"]]
        return {output.get("DataType") or output["Format/Datatype"].split()[-1] for output in outputs}

    assert words(TensorProto.FLOAT) == {"Float"}
    assert words(TensorProto.FLOAT16) == {"Half"}
    assert words(TensorProto.FLOAT16, flags=0) == ({"Float"} if lab.ten else {"Half"})
    if lab.ten:
        assert words(TensorProto.FLOAT, flags=0, precision=[trt.BuilderFlag.FP16]) == {"Half"}


def test_timing_caches(lab: SimpleNamespace) -> None:
    trt = lab.trt
    builder = trt.Builder(lab.logger)
    network = builder.create_network(1)
    assert trt.OnnxParser(network, lab.logger).parse(feature_onnx(2))

    def run(content: bytes) -> bytes:
        config = builder.create_builder_config()
        assert config.get_timing_cache() is None
        assert config.set_timing_cache(config.create_timing_cache(content), ignore_mismatch=False)
        assert builder.build_serialized_network(network, config) is not None
        return bytes(config.get_timing_cache().serialize())

    if lab.ten:
        network = builder.create_network(1 << 1)
        assert trt.OnnxParser(network, lab.logger).parse(feature_onnx(2))
    cache = run(b"")
    assert lab.machine.counters.tactics_timed == 2
    assert run(cache) == cache
    assert lab.machine.counters.tactics_timed == 2
    config = builder.create_builder_config()
    assert config.create_timing_cache(b"foreign") is None
    with pytest.raises(Misuse, match="timing cache is None"):
        config.set_timing_cache(None, False)
    lab.machine.gpu = "NVIDIA L4"
    other = config.create_timing_cache(cache)
    assert not config.set_timing_cache(other, False)
    assert config.set_timing_cache(other, True)


def test_plans_load_only_where_they_were_built(lab: SimpleNamespace) -> None:
    plan = build(lab.trt, lab.logger, feature_onnx())
    content = bytes(plan)
    assert len(content) == plan.nbytes
    assert hashlib.sha256(plan).digest() == hashlib.sha256(content).digest()
    with pytest.raises(TypeError):
        len(plan)
    with pytest.raises(AttributeError):
        plan.hex()
    load = lab.runtime.deserialize_cuda_engine
    assert load(content) is not None
    assert load(content[:-1]) is None
    assert said(lab, "Unexpected end")
    assert load(b"x" + content) is None
    assert said(lab, "Magic tag")
    other = make_tensorrt("11", version="11.1.0.1", machine=lab.machine)
    assert other.Runtime(other.Logger()).deserialize_cuda_engine(content) is None
    assert said(lab, "Version tag")
    lab.machine.sm = (8, 9)
    assert load(content) is None
    assert said(lab, "incompatible device")


def test_engine_description(lab: SimpleNamespace) -> None:
    trt, engine = lab.trt, part(lab).engine
    assert tuple(engine.get_tensor_shape("x")) == (-1, WIDTH)
    assert [tuple(shape) for shape in engine.get_tensor_profile_shape("x", 0)] == [(n, WIDTH) for n in (1, 2, 4)]
    assert engine.get_tensor_dtype("f") == trt.DataType.FLOAT
    assert trt.nptype(engine.get_tensor_dtype("f")) is np.float32
    assert engine.get_tensor_format("f") == trt.TensorFormat.LINEAR
    assert engine.get_tensor_location("x") == trt.TensorLocation.DEVICE
    assert engine.get_tensor_mode("f") == trt.TensorIOMode.OUTPUT
    assert engine.device_memory_size_v2 % 256 == 0
    with pytest.raises(Misuse, match="no such tensor"):
        engine.get_tensor_dtype("typo")


def test_runs_as_a_process() -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "tests.fakes", "11", "--fault", "device", "--", "--version"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("vbench "), done.stderr


def test_control_flow_builds(lab: SimpleNamespace) -> None:
    assert build(lab.trt, lab.logger, branch_onnx(), None) is not None


def test_context_left_on_the_stack_aborts_the_process_like_pycuda(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(
        "import sys\n"
        "import vbench.cli.main as cli\n"
        "from tests.fakes.__main__ import main\n"
        "def leave():\n"
        "    import pycuda.driver as cuda\n"
        "    cuda.init()\n"
        "    cuda.Device(0).retain_primary_context().push()\n"
        "cli.main = leave\n"
        "main(['11', '--fault', 'execute=1', '--fault', 'absent=cuda', '--', 'run'])\n"
    )
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    command = [sys.executable, str(tmp_path / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 134, done.stderr
    assert "context stack not empty" in done.stderr
