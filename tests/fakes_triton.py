"""Fake Triton Inference Server: it loads a model repository as strictly as the server and runs it on the CPU.

Every model folder is copied before it is loaded, as a server may do, so that files next to it are not found.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]
TYPES = {
    "TYPE_UINT8": (np.uint8, "tensor(uint8)"),
    "TYPE_FP32": (np.float32, "tensor(float)"),
    "TYPE_INT32": (np.int32, "tensor(int32)"),
    "TYPE_STRING": (np.object_, "tensor(string)"),
}
# Fields allowed in vbench's config.pbtxt: the type of a scalar, or the fields of a message.
SCHEMA: dict[str, Any] = {
    "name": str,
    "backend": str,
    "version_policy": {"specific": {"versions": [int]}},
    "max_batch_size": int,
    "input": {"name": str, "data_type": "enum", "dims": [int], "allow_ragged_batch": bool},
    "output": {"name": str, "data_type": "enum", "dims": [int]},
    "dynamic_batching": {"max_queue_delay_microseconds": int},
    "instance_group": {"count": int, "kind": "enum"},
    "default_model_filename": str,
}
REPEATED = {"input", "output", "instance_group"}
_TOKEN = re.compile(r'\s*("(?:[^"\\\n]|\\.)*"|-?[0-9]+|[A-Za-z_][A-Za-z0-9_]*|[{}\[\]:,])')


class RefusedError(Exception):
    """The server would reject this model or request."""


def parse_config(text: str) -> dict[str, Any]:
    """Parse a config.pbtxt; unknown fields, wrong types and repeated singular fields are errors."""
    tokens: list[str] = []
    end = 0
    while end < len(text.rstrip()):
        match = _TOKEN.match(text, end)
        if match is None:
            raise RefusedError(f"unexpected {text[end : end + 20]!r}")
        tokens.append(match[1])
        end = match.end()
    left = iter([*tokens, ""])
    return _message(left, SCHEMA, "")


def _message(tokens: Iterator[str], schema: Mapping[str, Any], end: str) -> dict[str, Any]:
    message: dict[str, Any] = {}
    while (name := next(tokens)) != end:
        if name not in schema:
            raise RefusedError(f"unknown field {name!r}")
        kind, mark = schema[name], next(tokens)
        if mark != ("{" if isinstance(kind, dict) else ":"):
            raise RefusedError(f"{name} {mark}")
        value = _message(tokens, kind, "}") if isinstance(kind, dict) else _value(tokens, kind)
        if name in REPEATED:
            message.setdefault(name, []).append(value)
        elif name in message:
            raise RefusedError(f"{name} twice")
        else:
            message[name] = value
    return message


def _value(tokens: Iterator[str], kind: Any) -> Any:
    token = next(tokens)
    if isinstance(kind, list):
        if token != "[":
            raise RefusedError(f"{token} is not a list")
        values = []
        while token != "]":
            values.append(_value(tokens, kind[0]))
            token = next(tokens)
        return values
    if kind is str:
        return re.sub(r"\\([0-7]{3}|.)", _unescaped, token[1:-1]).encode("latin-1").decode("utf-8")
    if kind is bool:
        return {"true": True, "false": False}[token]
    return int(token) if kind is int else re.fullmatch(r"[A-Z][A-Z0-9_]*", token)[0]  # type: ignore[index]


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 8)) if len(match[1]) == 3 else {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1])


class Tensor:
    def __init__(self, name: str, values: Array) -> None:
        if not values.flags["C_CONTIGUOUS"]:
            raise RefusedError(f"{name} is not contiguous")
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Array:
        return self._values


class TritonError:
    def __init__(self, message: str) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self.tensors, self._error = {tensor.name(): tensor for tensor in output_tensors}, error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def said(self) -> str:
        assert self._error is not None
        return self._error.message()

    def __getitem__(self, name: str) -> Array:
        assert self._error is None, self._error.message()
        return self.tensors[name].as_numpy()


class Request:
    """A client's request as the Python backend receives it."""

    def __init__(self, frames: Array, parameters: Mapping[str, Any] | None = None, name: str = "FRAMES") -> None:
        self.tensors = {name: Tensor(name, frames)}
        self._parameters = "" if parameters is None else json.dumps(parameters)

    def parameters(self) -> str:
        return self._parameters


class Server:
    """Load every model of a repository; ``calls`` lists the parts that ran, with their numbers of rows."""

    def __init__(self, repository: Path, place: Path) -> None:
        self.calls: list[tuple[str, int]] = []
        self.configs: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, onnxruntime.InferenceSession] = {}
        self.networks: dict[str, Any] = {}
        self.busy = False
        for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
            alone = place / folder.name / folder.name
            shutil.copytree(folder, alone)
            self._load(alone)

    def ask(self, name: str, *requests: Request) -> list[InferenceResponse]:
        """Batch all requests into one call of ``execute``, like the dynamic batcher."""
        config = self.configs[name]
        rows = 0
        for request in requests:
            rows += _check_tensors(config, {key: tensor.as_numpy() for key, tensor in request.tensors.items()}, "input")
        if rows > config["max_batch_size"]:
            raise RefusedError(f"{name}: a batch of {rows} clips")
        self.busy = True
        responses = self.networks[name].execute(list(requests))
        self.busy = False
        if len(responses) != len(requests):
            raise RefusedError(f"{len(responses)} responses for {len(requests)} requests")
        for response in responses:
            if not response.has_error():
                actual = {key: tensor.as_numpy() for key, tensor in response.tensors.items()}
                _check_tensors(config, actual, "output")
        return list(responses)

    def part(self, name: str, outputs_requested: Sequence[str], inputs: Mapping[str, Array]) -> InferenceResponse:
        """Run a model on behalf of another one; failures become error responses."""
        try:
            if name not in self.sessions:
                raise RefusedError(f"model '{name}' is not ready")
            rows = _check_tensors(self.configs[name], inputs, "input")
            if rows > self.configs[name]["max_batch_size"]:
                raise RefusedError(f"{name}: a batch of {rows}")
            self.calls.append((name, rows))
            outputs = self.sessions[name].run(list(outputs_requested), dict(inputs))
            _check_tensors(self.configs[name], dict(zip(outputs_requested, outputs)), "output")
            return InferenceResponse([Tensor(key, values) for key, values in zip(outputs_requested, outputs)])
        except RefusedError as error:
            return InferenceResponse(error=TritonError(str(error)))

    def rows(self, ending: str) -> list[int]:
        """Return the number of rows of each call of a part."""
        return [rows for name, rows in self.calls if name.endswith(ending)]

    def _load(self, folder: Path) -> None:
        config = parse_config((folder / "config.pbtxt").read_text(encoding="ascii"))
        missing = set(SCHEMA) - {"dynamic_batching"} - set(config)
        if missing or config["name"] != folder.name or config["max_batch_size"] < 1:
            raise RefusedError(f"{folder.name}: {missing or config}")
        if config["version_policy"] != {"specific": {"versions": [1]}}:
            raise RefusedError(f"{folder.name}: {config['version_policy']}")
        self.configs[folder.name] = config
        file = folder / "1" / config["default_model_filename"]
        if config["backend"] == "python":
            self.networks[folder.name] = self._network(file, config)
        else:
            self.sessions[folder.name] = _session(file, config)

    def _network(self, file: Path, config: Mapping[str, Any]) -> Any:
        spec = importlib.util.spec_from_file_location(f"triton_model_{config['name']}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        name = "triton_python_backend_utils"
        sys.modules[name] = self._utils(name)
        try:
            spec.loader.exec_module(module)
        finally:
            del sys.modules[name]
        network = module.TritonPythonModel()
        network.initialize({"model_config": json.dumps(config), "model_name": config["name"], "model_version": "1"})
        return network

    def _utils(self, name: str) -> ModuleType:
        server = self

        class InferenceRequest:
            def __init__(
                self,
                *,
                model_name: str,
                requested_output_names: list[str],
                inputs: list[Tensor],
                preferred_memory: tuple[str],
            ) -> None:
                assert preferred_memory == ("cpu",), "NumPy cannot read GPU tensors"
                self.asked = (model_name, requested_output_names, {part.name(): part.as_numpy() for part in inputs})

            def exec(self) -> InferenceResponse:
                assert server.busy, "parts can be called only during execute"
                return server.part(*self.asked)

        utils = ModuleType(name)
        contents = {
            "Tensor": Tensor,
            "TritonError": TritonError,
            "InferenceRequest": InferenceRequest,
            "InferenceResponse": InferenceResponse,
            "PreferredMemory": lambda kind: (kind,),
            "TRITONSERVER_MEMORY_CPU": "cpu",
            "get_input_tensor_by_name": lambda request, key: request.tensors.get(key),
            "get_output_tensor_by_name": lambda response, key: response.tensors.get(key),
        }
        utils.__dict__.update(contents)
        return utils


def _session(file: Path, config: Mapping[str, Any]) -> onnxruntime.InferenceSession:
    """Open a graph, which must have exactly the tensors of its config, with a dynamic batch axis first."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for kind, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        expected = [(spec["name"], TYPES[spec["data_type"]][1], spec["dims"]) for spec in config[kind]]
        actual = [
            (item.name, item.type, [axis if isinstance(axis, int) else -1 for axis in item.shape[1:]])
            for item in tensors
        ]
        if expected != actual or any(isinstance(item.shape[0], int) for item in tensors):
            raise RefusedError(f"{config['name']}: {kind} {actual}, config.pbtxt has {expected}")
    return session


def _check_tensors(config: Mapping[str, Any], given: Mapping[str, Array], kind: str) -> int:
    """Check tensors against the config and return their number of rows."""
    specs = {spec["name"]: spec for spec in config[kind]}
    if set(specs) != set(given):
        raise RefusedError(f"{config['name']}: {kind} {sorted(given)}, expected {sorted(specs)}")
    for name, values in given.items():
        dims = specs[name]["dims"]
        fits = values.ndim == len(dims) + 1 and all(dim in (-1, axis) for dim, axis in zip(dims, values.shape[1:]))
        if values.dtype != TYPES[specs[name]["data_type"]][0] or not fits:
            raise RefusedError(f"{config['name']}: {name} is {values.dtype} {list(values.shape)}, expected {dims}")
    if len({len(values) for values in given.values()}) != 1:
        raise RefusedError(f"{config['name']}: batches of different sizes")
    return len(next(iter(given.values())))
