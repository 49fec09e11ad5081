"""Runtime, engine, execution context and inspector."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from .bindings import Blob, Implementation, Shape, World
from .build import need_gpu
from .memory import ALIGNMENT, Allocation, OutOfMemoryError
from .misuse import Misuse
from .model import NUMPY, FakeTensor, Plan, RefusedError, output_shapes, spoken

_PRODUCTS = {"Conv", "Gemm", "MatMul"}


class RuntimeImpl(Implementation):
    """``Runtime``."""

    api = "Runtime"

    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world)
        need_gpu(world, logger, "Runtime")
        self.logger = logger
        self.engine_host_code_allowed = False
        self.max_threads = 1
        world.machine.trt_objects.add(self)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> EngineImpl | None:
        try:
            plan = Plan.load(serialized_engine)
            self._check(plan)
            return EngineImpl(self.world, self, plan)
        except (RefusedError, OutOfMemoryError) as error:
            self.world.log(self.logger, "ERROR", f"IRuntime::deserializeCudaEngine: Error Code 1: {error}")
            return None

    def _check(self, plan: Plan) -> None:
        machine = self.world.machine
        if plan.version != self.world.api.version:
            raise RefusedError(
                "Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed."
                f"Version tag does not match. Note: Current Version: {self.world.api.version}, "
                f"Serialized Engine Version: {plan.version})"
            )
        if plan.sm != machine.sm or plan.gpu != machine.gpu:
            expected, got = (".".join(map(str, sm)) for sm in (plan.sm, machine.sm))
            raise RefusedError(
                "The engine plan file is generated on an incompatible device, expecting compute "
                f"{expected} ({plan.gpu}) got compute {got} ({machine.gpu}), please rebuild."
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
        self.num_optimization_profiles = max(len(plan.profiles), 1)
        self.name = plan.name or "Unnamed Network 0"
        self.num_aux_streams, self.refittable = plan.aux_streams, False
        self.profiling_verbosity = world.enum("ProfilingVerbosity", plan.verbosity)
        self._weights = world.machine.memory.allocate(max(len(plan.model.content), 1), "tensorrt")
        self.device_memory_size_v2 = max(self.activation_bytes(i) for i in range(self.num_optimization_profiles))
        if world.ten:
            self.device_memory_size = self.device_memory_size_v2
        world.machine.trt_objects.add(self)

    def __del__(self) -> None:
        if hasattr(self, "_weights"):
            self.world.machine.memory.free(self._weights)

    def activation_bytes(self, profile: int, shapes: dict[str, tuple[int, ...]] | None = None) -> int:
        """Return the memory of a context: a made-up size that grows with the batch and the number of layers."""
        found = shapes or {t.name: self.plan.range(t, profile)[2] for t in self.plan.model.inputs}
        elements = sum(math.prod(shape) for shape in found.values())
        return -(-4 * elements * max(self.num_layers, 1) // ALIGNMENT) * ALIGNMENT or ALIGNMENT

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self.activation_bytes(profile_index)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        self._tensor(name)
        return self.world.enum("TensorIOMode", "INPUT" if name in self.inputs else "OUTPUT")

    def get_tensor_shape(self, name: str) -> Shape:
        return Shape(self._tensor(name).shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return self.world.enum("DataType", self._tensor(name).dtype)

    def get_tensor_location(self, name: str) -> Any:
        self._tensor(name)
        return self.world.enum("TensorLocation", "DEVICE")

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        self._tensor(name)
        self._profile(profile_index)
        return self.world.enum("TensorFormat", "LINEAR")

    def get_tensor_bytes_per_component(self, name: str, profile_index: int = 0) -> int:
        self._profile(profile_index)
        return np.dtype(NUMPY[self._tensor(name).dtype]).itemsize

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Shape]:
        tensor = self._tensor(name)
        self._profile(profile_index)
        if name not in self.inputs:
            raise Misuse("profile of an output", name)
        return [Shape(shape) for shape in self.plan.range(tensor, profile_index)]

    def is_shape_inference_io(self, name: str) -> bool:
        self._tensor(name)
        return False

    def get_aliased_input_tensor(self, name: str) -> str:
        self._tensor(name)
        return ""

    def create_execution_context(self, strategy: Any = None, runtime_config: Any = None) -> Any:
        from .context import ContextImpl

        if runtime_config is not None:
            raise NotImplementedError("the fake does not implement contexts by IRuntimeConfig")
        kind = strategy.name if strategy is not None else "STATIC"
        if kind == "ON_PROFILE_CHANGE":
            raise NotImplementedError("the fake does not implement ON_PROFILE_CHANGE")
        try:
            return ContextImpl(self.world, self, None if kind == "USER_MANAGED" else self._activations())
        except OutOfMemoryError as error:
            self.world.log(self.runtime.logger, "ERROR", f"createExecutionContext: Error Code 2: OutOfMemory ({error})")
            return None

    def create_execution_context_without_device_memory(self) -> Any:
        raise NotImplementedError("the fake does not implement create_execution_context_without_device_memory")

    def serialize(self) -> Blob:
        return Blob(self.plan.dump())

    def create_engine_inspector(self) -> InspectorImpl:
        return InspectorImpl(self.world, self)

    def shapes(self, given: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return all shapes for the given input shapes."""
        inputs = tuple(sorted((name, given[name]) for name in self.inputs))
        return dict(inputs) | output_shapes(self.plan.model.content, inputs)

    def label(self) -> str:
        """Return the name of the next context in the counters."""
        name = self.plan.name or self.plan.model.graph or "unnamed"
        numbers = self.world.machine.context_numbers
        numbers[name] += 1
        return f"{name}#{numbers[name] - 1}"

    def _activations(self) -> Allocation:
        return self.world.machine.memory.allocate(self.device_memory_size_v2, "tensorrt")

    def _profile(self, index: int) -> None:
        if not 0 <= index < self.num_optimization_profiles:
            raise Misuse("no such profile", str(index))

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
        self.execution_context: Any = None

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
