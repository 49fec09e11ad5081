"""Two small chained parts and a driver for them, written like a program for TensorRT and PyCUDA."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64  # a row of float32 is 256 bytes, so that every row is aligned
WEIGHT = np.linspace(-1, 1, WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH)


def feature_onnx() -> bytes:
    """``f = relu(x W)``."""
    nodes = [helper.make_node("MatMul", ["x", "W"], ["y"], "mul"), helper.make_node("Relu", ["y"], ["f"], "relu")]
    return _model("feature", nodes, ["x"], ["f"], [numpy_helper.from_array(WEIGHT, "W")])


def state_onnx() -> bytes:
    """``after = max(f, before)``."""
    return _model("state", [helper.make_node("Max", ["f", "before"], ["after"])], ["f", "before"], ["after"])


def _model(name: str, nodes: list[Any], inputs: list[str], outputs: list[str], weights: Sequence[Any] = ()) -> bytes:
    given, made = (
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", WIDTH]) for key in names]
        for names in (inputs, outputs)
    )
    graph = helper.make_graph(nodes, name, given, made, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def build(trt: ModuleType, logger: Any, content: bytes) -> Any:
    """Return a plan for batches of 1 to 4, or None."""
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, logger).parse(content)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for index in range(network.num_inputs):
        profile.set_shape(network.get_input(index).name, *[(batch, WIDTH) for batch in (1, 2, 4)])
    assert config.add_optimization_profile(profile) == 0
    return builder.build_serialized_network(network, config)


class Part:
    """An engine with an execution context."""

    def __init__(self, trt: ModuleType, runtime: Any, plan: Any, **strategy: Any) -> None:
        self.engine = runtime.deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context(**strategy)
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        self.inputs = [name for name in names if self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]

    def bind(self, batch: int, **addresses: int) -> None:
        for name, address in addresses.items():
            if name in self.inputs:
                assert self.context.set_input_shape(name, (batch, WIDTH))
            assert self.context.set_tensor_address(name, int(address))
        assert self.context.infer_shapes() == []

    def run(self, stream: Any) -> None:
        assert self.context.execute_async_v3(stream.handle)


def drive(trt: ModuleType, cuda: ModuleType, frames: np.ndarray) -> np.ndarray:
    """Return the state after all frames ``[steps, batch, WIDTH]``: upload, two parts, two states, one read-back."""
    batch, size = frames.shape[1], frames[0].nbytes
    logger = trt.Logger(trt.Logger.ERROR)
    runtime = trt.Runtime(logger)
    feature = Part(trt, runtime, build(trt, logger, feature_onnx()))
    state = Part(trt, runtime, build(trt, logger, state_onnx()))
    stream, done = cuda.Stream(), cuda.Event(cuda.event_flags.DISABLE_TIMING)
    x, f, before, after = (cuda.mem_alloc(size) for _ in range(4))
    sent = cuda.pagelocked_empty(frames.shape, np.float32)
    back = cuda.pagelocked_empty(frames[0].shape, np.float32)
    sent[...] = frames
    cuda.memset_d8_async(before, 0, size, stream)
    for frame in sent:
        cuda.memcpy_htod_async(x, frame, stream)
        feature.bind(batch, x=x, f=f)
        feature.run(stream)
        state.bind(batch, f=f, before=before, after=after)
        state.run(stream)
        before, after = after, before
    cuda.memcpy_dtoh_async(back, before, stream)
    done.record(stream)
    while not done.query():
        pass
    for memory in (x, f, before, after):
        memory.free()
    return back.copy()


def expected(frames: np.ndarray) -> np.ndarray:
    """Return the expected result of `drive`."""
    return np.maximum(frames @ WEIGHT, 0).max(axis=0)
