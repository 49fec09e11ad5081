"""Runtime, engine, execution context and inspector."""

from __future__ import annotations

import json
import math
from typing import Any

from .bindings import Implementation, Shape, World
from .build import no_gpu
from .memory import ALIGNMENT, Allocation, OutOfMemoryError
from .misuse import Misuse
from .model import HEADER_SIZE, FakeTensor, Plan, RefusedError, output_shapes, read_header, spoken
from .runtime_config import RuntimeConfigImpl

_PRODUCTS = {"Conv", "Gemm", "MatMul"}


class RuntimeImpl(Implementation):
    """``Runtime``."""

    api = "Runtime"

    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world)
        problem = no_gpu(world)
        if problem and not world.rtx:
            world.log(logger, "ERROR", problem)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger
        self.engine_header_size = HEADER_SIZE
        world.machine.trt_objects.add(self)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> EngineImpl | None:
        try:
            if problem := no_gpu(self.world):
                raise RefusedError(problem)
            plan = Plan.load(serialized_engine)
            self._check(plan)
            return EngineImpl(self.world, self, plan)
        except (RefusedError, OutOfMemoryError) as error:
            self.world.log(self.logger, "ERROR", f"IRuntime::deserializeCudaEngine: Error Code 1: {error}")
            return None

    def get_engine_validity(self, buffer: bytes) -> tuple[Any, int]:
        """Return TensorRT-RTX's verdict on the first bytes of a plan, and the reasons as flags."""
        header, flags = read_header(buffer), 0
        if header is None:
            flags = self._flag("MALFORMED_ENGINE")
        elif header[0] != self.world.api.version:
            flags = self._flag("VERSION_MISMATCH")
        elif self._capability() not in header[1]:
            flags = self._flag("UNSUPPORTED_CC")
        return self.world.enum("EngineValidity", "INVALID" if flags or no_gpu(self.world) else "VALID"), flags

    def _flag(self, name: str) -> int:
        return int(self.world.enum("EngineInvalidityDiagnostics", name))

    def _capability(self) -> int:
        major, minor = self.world.machine.sm
        return 10 * major + minor

    def _check(self, plan: Plan) -> None:
        machine = self.world.machine
        if plan.version != self.world.api.version:
            raise RefusedError(
                "Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed."
                f"Version tag does not match. Note: Current Version: {self.world.api.version}, "
                f"Serialized Engine Version: {plan.version})"
            )
        if self._capability() not in plan.capabilities or plan.gpu not in ("", machine.gpu):
            raise RefusedError(
                "The engine plan file is generated on an incompatible device, expecting compute "
                f"{plan.capabilities} ({plan.gpu}) got compute {self._capability()} ({machine.gpu}), please rebuild."
            )


class EngineImpl(Implementation):
    """``ICudaEngine``."""

    api = "ICudaEngine"

    def __init__(self, world: World, runtime: RuntimeImpl, plan: Plan) -> None:
        super().__init__(world)
        self.runtime, self.plan = runtime, plan
        self.tensors = plan.model.tensors
        self.inputs = {tensor.name for tensor in plan.model.inputs}
        self.num_io_tensors, self.num_layers = len(self.tensors), len(plan.model.layers)
        self.name = plan.name
        self._weights = world.machine.memory.allocate(max(len(plan.content), 1), "tensorrt")
        self.device_memory_size_v2 = self.activation_bytes({t.name: plan.range(t)[2] for t in plan.model.inputs})
        world.machine.trt_objects.add(self)

    def __del__(self) -> None:
        if hasattr(self, "_weights"):
            self.world.machine.memory.free(self._weights)

    def activation_bytes(self, inputs: dict[str, tuple[int, ...]]) -> int:
        """Return the memory of a context: a made-up size that grows with the batch and the number of layers."""
        elements = sum(math.prod(shape) for shape in inputs.values())
        return -(-4 * elements * max(self.num_layers, 1) // ALIGNMENT) * ALIGNMENT or ALIGNMENT

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        self._tensor(name)
        return self.world.enum("TensorIOMode", "INPUT" if name in self.inputs else "OUTPUT")

    def get_tensor_shape(self, name: str) -> Shape:
        return Shape(self._tensor(name).shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return self.world.enum("DataType", self._tensor(name).dtype)

    def create_runtime_config(self) -> RuntimeConfigImpl:
        return RuntimeConfigImpl(self.world)

    def create_execution_context(self, strategy: Any = None, runtime_config: RuntimeConfigImpl | None = None) -> Any:
        from .context import ContextImpl

        if runtime_config is None:
            runtime_config = RuntimeConfigImpl(self.world)
            runtime_config.strategy = strategy or runtime_config.strategy
        kind = runtime_config.strategy.name
        if kind == "ON_PROFILE_CHANGE":
            raise NotImplementedError("the fake does not implement ON_PROFILE_CHANGE")
        try:
            activations = None if kind == "USER_MANAGED" else self._activations()
            return ContextImpl(self.world, self, activations, runtime_config.cache)
        except OutOfMemoryError as error:
            self.world.log(self.runtime.logger, "ERROR", f"createExecutionContext: Error Code 2: OutOfMemory ({error})")
            return None

    def create_engine_inspector(self) -> InspectorImpl:
        return InspectorImpl(self.world, self)

    def shapes(self, given: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return all shapes for the given input shapes."""
        inputs = tuple(sorted((name, given[name]) for name in self.inputs))
        return dict(inputs) | output_shapes(self.plan.content, inputs)

    def label(self) -> str:
        """Return the name of the next context in the counters."""
        named = self.plan.name != "Unnamed Network 0"
        name = self.plan.name if named else self.plan.model.graph
        numbers = self.world.machine.context_numbers
        numbers[name] += 1
        return f"{name}#{numbers[name] - 1}"

    def _activations(self) -> Allocation:
        return self.world.machine.memory.allocate(self.device_memory_size_v2, "tensorrt")

    def _tensor(self, name: str) -> FakeTensor:
        if name not in self.tensors:
            raise Misuse("no such tensor", f"{name!r}; this engine has {', '.join(self.tensors)}")
        return self.tensors[name]


class InspectorImpl(Implementation):
    """``EngineInspector``: layers with their output types, in the format of each major release."""

    api = "EngineInspector"

    def __init__(self, world: World, engine: EngineImpl) -> None:
        super().__init__(world)
        self._engine = engine

    def get_engine_information(self, format: Any) -> str:
        if format.name != "JSON":
            raise NotImplementedError("the fake inspects only as JSON")
        plan = self._engine.plan
        layers: list[Any] = [self._layer(layer) for layer in plan.model.layers]
        if plan.verbosity != "DETAILED":
            layers = [layer.name for layer in plan.model.layers] if plan.verbosity == "LAYER_NAMES_ONLY" else []
        if self.world.ten:
            return json.dumps({"Layers": layers, "Bindings": list(self._engine.tensors)})
        return json.dumps({"Layers": layers, "I/O Tensors": [self._io(t) for t in self._engine.tensors.values()]})

    def _layer(self, layer: Any) -> dict[str, Any]:
        outputs = []
        for name, word in zip(layer.outputs, spoken(layer)):
            types = {"Format/Datatype": f"Row major linear {word}"}
            if not self.world.ten:
                types = {"Format": "Row major linear", "DataType": word}
            outputs.append({"Name": name, "Dimensions": [], **types})
        inputs = [{"Name": name} for name in layer.inputs]
        found = {"Name": layer.name, "LayerType": layer.operator, "Inputs": inputs, "Outputs": outputs}
        rounded = self._engine.plan.tf32 and layer.operator in _PRODUCTS and "FLOAT" in layer.dtypes
        return {**found, "TacticName": f"sm90_{'tf32f32_tf32f32' if rounded else 'f32f32'}_tilesize64x64"}

    def _io(self, tensor: FakeTensor) -> dict[str, Any]:
        mode = "Input" if tensor.name in self._engine.inputs else "Output"
        return {
            "Name": tensor.name,
            "IOMode": mode,
            "DataType": tensor.dtype.title(),
            "Dimensions": list(tensor.shape),
            "Location": "Device",
            "IsShapeInferenceIO": False,
            "ProfileInfo": [],
        }
