"""Network and ONNX parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from .bindings import Implementation, Shape, World
from .misuse import Misuse
from .model import Model, RefusedError, read_model


class TensorImpl(Implementation):
    """``ITensor`` of a network's input or output."""

    api = "ITensor"

    def __init__(self, world: World, name: str, dtype: str, shape: tuple[int, ...], is_input: bool) -> None:
        super().__init__(world)
        self.name, self.shape, self.dtype = name, Shape(shape), world.enum("DataType", dtype)
        self.is_network_input, self.is_network_output = is_input, not is_input


class NetworkImpl(Implementation):
    """``INetworkDefinition``; ``model`` is set by the parser."""

    api = "INetworkDefinition"

    def __init__(self, world: World, builder: Implementation, flags: int) -> None:
        super().__init__(world)
        self._builder, self.flags, self.name = builder, flags, "Unnamed Network 0"
        self.model: Model | None = None
        strong = int(world.enum("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"))
        self.strong = not world.ten or bool(flags >> strong & 1)
        self.parser: ParserImpl | None = None  # owns the weights, so it lives as long as the network

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags >> int(flag) & 1)

    @property
    def num_inputs(self) -> int:
        return len(self.model.inputs) if self.model else 0

    @property
    def num_outputs(self) -> int:
        return len(self.model.outputs) if self.model else 0

    @property
    def num_layers(self) -> int:
        return len(self.model.layers) if self.model else 0

    def get_input(self, index: int) -> TensorImpl | None:
        return self._tensor(self.model.inputs if self.model else (), index, True)

    def get_output(self, index: int) -> TensorImpl | None:
        return self._tensor(self.model.outputs if self.model else (), index, False)

    def _tensor(self, tensors: tuple[Any, ...], index: int, is_input: bool) -> TensorImpl | None:
        if not 0 <= index < len(tensors):
            return None
        tensor = tensors[index]
        return TensorImpl(self.world, tensor.name, tensor.dtype, tensor.shape, is_input)


class ErrorImpl(Implementation):
    """``ParserError``."""

    api = "ParserError"

    def __init__(self, world: World, text: str) -> None:
        super().__init__(world)
        self._text = text

    def desc(self) -> str:
        return self._text


class ParserImpl(Implementation):
    """``OnnxParser``."""

    api = "OnnxParser"

    def __init__(self, world: World, network: NetworkImpl, logger: Any) -> None:
        super().__init__(world)
        self._network, self._logger = network, logger
        self._errors: list[str] = []
        network.parser = self

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ErrorImpl:
        return ErrorImpl(self.world, self._errors[index])

    def clear_errors(self) -> None:
        self._errors.clear()

    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            proto = onnx.load_model_from_string(model)
            if path is not None:
                onnx.load_external_data_for_model(proto, str(Path(path).parent))
        except Exception as error:
            return self._fail(f"MODEL_DESERIALIZE_FAILED: Failed to parse the ONNX model. {error}")
        return self._take(proto)

    def parse_from_file(self, model: str) -> bool:
        try:
            proto = onnx.load_model(model)
        except FileNotFoundError:
            return self._fail(f"Could not open file {model}")
        except Exception as error:
            return self._fail(f"Failed to parse ONNX model from file: {model} ({error})")
        return self._take(proto)

    def _take(self, proto: onnx.ModelProto) -> bool:
        if self._network.model:
            raise Misuse("network parsed twice", "the second model is added to the first")
        faults = self.world.machine.faults
        try:
            if faults.parse:
                raise RefusedError("In node 0: UNSUPPORTED_NODE: requested by the test")
            if any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer):
                raise RefusedError("Failed to open file: external data without the model's path")
            self._network.model = read_model(proto, faults.operators)
        except RefusedError as error:
            return self._fail(str(error))
        return True

    def _fail(self, text: str) -> bool:
        self._errors.append(text)
        self.world.log(self._logger, "ERROR", text)
        return False
