"""Builder and parser, only as far as a plan is needed to test its execution.

NVIDIA's own parser and builder run without a GPU (TensorRT-RTX) and are tested themselves. The fake accepts every
valid ONNX file and every configuration that it knows, and fails only by the test's faults.
"""

from __future__ import annotations

import warnings
from typing import Any

import onnx

from .bindings import Blob, Implementation, Shape, World
from .model import FakeTensor, Layer, Model, Plan, Range, read_model

_NO_DEVICE = "CUDA initialization failure with error: 100. Please check your CUDA installation"
_NO_DRIVER = "CUDA initialization failure with error: 35. Please check your CUDA installation"
_TIMINGS = b"timings of the fake builder"
_NO_OP = "Use Deprecated in TensorRT-RTX 1.2. Timing cache operations are no-ops in TensorRT-RTX. instead."
_LAYER_TYPES = {
    "Conv": "CONVOLUTION",
    "Gemm": "MATRIX_MULTIPLY",
    "MatMul": "MATRIX_MULTIPLY",
    "DequantizeLinear": "DEQUANTIZE",
}
RTX_CAPABILITIES = (80, 86, 89, 120, 121)  # of plans for which no compute capability is set


def no_gpu(world: World) -> str | None:
    """Return TensorRT's message on a machine without a GPU or driver."""
    faults = world.machine.faults
    return _NO_DRIVER if faults.driver else _NO_DEVICE if faults.device else None


class ProfileImpl(Implementation):
    """``IOptimizationProfile``."""

    api = "IOptimizationProfile"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.ranges: dict[str, Range] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        self.ranges[input] = (min, opt, max)


class TimingCacheImpl(Implementation):
    """``ITimingCache``: bytes that depend on nothing, since the fake builder times nothing."""

    api = "ITimingCache"

    def serialize(self) -> Blob:
        _warn_of_timing_cache(self.world)
        return Blob(_TIMINGS)


def _warn_of_timing_cache(world: World) -> None:
    if world.rtx:
        warnings.warn(_NO_OP, DeprecationWarning, stacklevel=4)


class MonitorImpl(Implementation):
    """``IProgressMonitor``, which the fake builder never calls."""

    api = "IProgressMonitor"


class ConfigImpl(Implementation):
    """``IBuilderConfig``."""

    api = "IBuilderConfig"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.flags = 1 << int(world.enum("BuilderFlag", "TF32"))
        self.max_aux_streams = -1
        self.profiling_verbosity = world.enum("ProfilingVerbosity", "LAYER_NAMES_ONLY")
        self.progress_monitor: Any = None
        self.ranges: dict[str, Range] = {}
        self._capabilities: list[Any] = []

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        """Ignore the limit: the fake builder needs no memory."""

    def set_flag(self, flag: Any) -> None:
        self.flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags >> int(flag) & 1)

    def add_optimization_profile(self, profile: ProfileImpl) -> int:
        if self.ranges:
            raise NotImplementedError("the fake has one optimization profile")
        self.ranges = profile.ranges
        return 0

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCacheImpl:
        del serialized_timing_cache
        return TimingCacheImpl(self.world)

    def set_timing_cache(self, cache: TimingCacheImpl, ignore_mismatch: bool) -> bool:
        del cache, ignore_mismatch
        _warn_of_timing_cache(self.world)
        return True

    @property
    def num_compute_capabilities(self) -> int:
        return len(self._capabilities)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, count: int) -> None:
        none = self.world.enum("ComputeCapability", "NONE")
        self._capabilities = (self._capabilities + [none] * count)[:count]

    def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
        if not 0 <= index < len(self._capabilities) or compute_capability.name == "NONE":
            return False
        self._capabilities[index] = compute_capability
        return True

    def get_compute_capability(self, index: int) -> Any:
        return self._capabilities[index]

    def capabilities(self) -> tuple[int, ...]:
        """Return the compute capabilities that the plan is for."""
        major, minor = self.world.machine.sm
        here = 10 * major + minor
        if not self.world.rtx:
            return (here,)
        return tuple(here if kind.name == "CURRENT" else int(kind) for kind in self._capabilities) or RTX_CAPABILITIES


class BuilderImpl(Implementation):
    """``Builder``. That of TensorRT-RTX needs no GPU."""

    api = "Builder"

    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world)
        if not world.rtx and (problem := no_gpu(world)):
            world.log(logger, "ERROR", problem)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags: int = 0) -> NetworkImpl:
        strong = 1 << int(self.world.enum("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"))
        if self.world.ten and not flags & strong:
            raise NotImplementedError("the fake does not build weakly typed networks")
        return NetworkImpl(self.world)

    def create_builder_config(self) -> ConfigImpl:
        return ConfigImpl(self.world)

    def create_optimization_profile(self) -> ProfileImpl:
        return ProfileImpl(self.world)

    def build_serialized_network(self, network: NetworkImpl, config: ConfigImpl) -> Blob | None:
        machine = self.world.machine
        if machine.faults.build:
            self.world.log(self.logger, "ERROR", "IBuilder::buildSerializedNetwork: Error Code 10: no implementation")
            return None
        machine.counters.builds += 1
        plan = Plan(
            version=self.world.api.version,
            gpu="" if self.world.rtx else machine.gpu,
            capabilities=config.capabilities(),
            name=network.name,
            verbosity=config.profiling_verbosity.name,
            tf32=config.get_flag(self.world.enum("BuilderFlag", "TF32")),
            ranges=config.ranges,
            content=network.parsed.content,
        )
        return Blob(plan.dump())


class TensorImpl(Implementation):
    """``ITensor`` of a network's input or output."""

    api = "ITensor"

    def __init__(self, world: World, tensor: FakeTensor) -> None:
        super().__init__(world)
        self.name, self.shape, self.dtype = tensor.name, Shape(tensor.shape), world.enum("DataType", tensor.dtype)


class LayerImpl(Implementation):
    """``ILayer``, only as far as the precision of a matrix product is concerned."""

    api = "ILayer"

    def __init__(self, world: World, model: Model, layer: Layer) -> None:
        super().__init__(world)
        self._model, self._layer = model, layer
        self.type = world.enum("LayerType", _LAYER_TYPES.get(layer.operator, "ELEMENTWISE"))
        self.num_inputs, self.num_outputs = len(layer.inputs), len(layer.outputs)

    def get_input(self, index: int) -> TensorImpl:
        return self._tensor(self._layer.inputs[index])

    def get_output(self, index: int) -> TensorImpl:
        return self._tensor(self._layer.outputs[index])

    def _tensor(self, name: str) -> TensorImpl:
        made = {name: dtype for layer in self._model.layers for name, dtype in zip(layer.outputs, layer.dtypes)}
        known = self._model.tensors.get(name)
        return TensorImpl(self.world, known or FakeTensor(name, made.get(name, self._layer.dtypes[0]), ()))


class NetworkImpl(Implementation):
    """``INetworkDefinition``; ``model`` is set by the parser."""

    api = "INetworkDefinition"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.name = "Unnamed Network 0"
        self.model: Model | None = None

    @property
    def parsed(self) -> Model:
        """The model; a network without one cannot be built."""
        assert self.model is not None, "no model was parsed into the network"
        return self.model

    @property
    def num_inputs(self) -> int:
        return len(self.parsed.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.parsed.outputs)

    @property
    def num_layers(self) -> int:
        return len(self.parsed.layers)

    def get_layer(self, index: int) -> LayerImpl:
        return LayerImpl(self.world, self.parsed, self.parsed.layers[index])

    def get_input(self, index: int) -> TensorImpl:
        return TensorImpl(self.world, self.parsed.inputs[index])

    def get_output(self, index: int) -> TensorImpl:
        return TensorImpl(self.world, self.parsed.outputs[index])


class ParserImpl(Implementation):
    """``OnnxParser``, which accepts every valid file."""

    api = "OnnxParser"

    def __init__(self, world: World, network: NetworkImpl, logger: Any) -> None:
        super().__init__(world)
        del logger
        self._network = network

    def parse_from_file(self, model: str) -> bool:
        return self._take(onnx.load_model(model))

    def parse(self, model: bytes, path: str | None = None) -> bool:
        del path
        return self._take(onnx.load_model_from_string(model))

    def _take(self, proto: onnx.ModelProto) -> bool:
        self._network.model = read_model(proto.SerializeToString())
        return True
