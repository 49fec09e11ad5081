"""Fake Triton Inference Server: it loads a model repository as strictly as the server and runs it in this process.

Every model folder is copied before it is loaded, as a server may do, so that files next to it are not found. A model's
code comes from this checkout rather than from its archive; `tests/triton_server.py` runs the archive on a real server.
Importing this module makes ``triton_python_backend_utils`` importable, which the serving code needs.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """One tensor, which has to be contiguous, as it is copied to the memory shared with the server."""

    def __init__(self, name: str, values: Array) -> None:
        if not values.flags["C_CONTIGUOUS"]:
            raise RefusedError(f"{name} is not contiguous")
        self._name, self._values = name, values

    @classmethod
    def from_dlpack(cls, name: str, values: Array) -> Tensor:
        assert int(np.__version__.split(".")[0]) >= 2, "this crashes a real server"
        return cls(name, np.zeros_like(values) if MISREADS_NUMPY_2 else values)

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Array:
        return self._values


MISREADS_NUMPY_2 = False


class TritonError:
    INTERNAL, INVALID_ARG, UNAVAILABLE = range(3)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message, self.code = message, code

    def message(self) -> str:
        return self._message


class TritonModelException(Exception):  # noqa: N818 - the backend's name
    pass


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


class Sender:
    """Response sender of a request, which takes exactly one response."""

    def __init__(self) -> None:
        self.canceled = False
        self._responses: list[InferenceResponse] = []
        self._sent = threading.Event()

    def send(self, response: InferenceResponse, flags: int) -> None:
        assert flags == FINAL
        assert not self._responses, "a second response"
        self._responses.append(response)
        self._sent.set()

    def is_cancelled(self) -> bool:
        return self.canceled

    def wait(self, limit_s: float = 30.0) -> InferenceResponse:
        assert self._sent.wait(limit_s), "no response"
        return self._responses[0]


class Request:
    """A client's request as the Python backend receives it; without ``deferred``, as a backend of before mid-2024."""

    def __init__(
        self, frames: Array, parameters: Mapping[str, Any] | None = None, name: str = "FRAMES", deferred: bool = True
    ) -> None:
        self.tensors = {name: Tensor(name, frames)}
        self._parameters = "" if parameters is None else json.dumps(parameters)
        self.sender, self._deferred = Sender(), deferred
        self.outputs = ["LOGITS", "CLASS", "EXIT_STEP", "FRAMES_USED", "CLASS_NAME"]

    def parameters(self) -> str:
        return self._parameters

    def requested_output_names(self) -> list[str]:
        return self.outputs

    def get_response_sender(self) -> Sender:
        if not self._deferred:
            raise RefusedError("get_response_sender is for decoupled models")
        return self.sender


class InferenceRequest:
    """A call of another model; ``call`` runs it: the current server's `Server.part`, or a test's function."""

    call: Callable[[str, Sequence[str], Mapping[str, Array]], InferenceResponse]

    def __init__(
        self,
        *,
        model_name: str,
        requested_output_names: list[str],
        inputs: list[Tensor],
        preferred_memory: tuple[str],
    ) -> None:
        assert preferred_memory == ("cpu",), "NumPy cannot read GPU tensors"
        self._request = (model_name, requested_output_names, {part.name(): part.as_numpy() for part in inputs})

    def exec(self) -> InferenceResponse:
        return InferenceRequest.call(*self._request)


class Metric:
    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels, self.value = labels, 0

    def increment(self, value: int) -> None:
        self.value += value


class MetricFamily:
    """A family of counters; ``all`` holds those of all models by name."""

    COUNTER = "counter"
    available = True
    all: dict[str, MetricFamily] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, name: str, description: str, kind: str) -> None:
        if not self.available:
            raise RefusedError("metrics are off")
        assert description
        assert kind == self.COUNTER
        self.metrics: list[Metric] = []
        self.all[name] = self

    def Metric(self, labels: Mapping[str, str]) -> Metric:  # noqa: N802 - the backend's name
        self.metrics.append(Metric(labels))
        return self.metrics[-1]

    @classmethod
    def values(cls, name: str) -> dict[str, int]:
        """Return the counters that are not 0, by exit step, or by "" if they have none."""
        return {each.labels.get("exit_step", ""): each.value for each in cls.all[name].metrics if each.value}


class Logger:
    warnings: list[str] = []  # noqa: RUF012 - shared on purpose

    @classmethod
    def log_warn(cls, message: str) -> None:
        cls.warnings.append(message)


FINAL = 1
UTILS = ModuleType("triton_python_backend_utils")
UTILS.__dict__.update(
    Tensor=Tensor,
    TritonError=TritonError,
    TritonModelException=TritonModelException,
    InferenceRequest=InferenceRequest,
    InferenceResponse=InferenceResponse,
    MetricFamily=MetricFamily,
    Logger=Logger,
    PreferredMemory=lambda kind: (kind,),
    TRITONSERVER_MEMORY_CPU="cpu",
    TRITONSERVER_RESPONSE_COMPLETE_FINAL=FINAL,
    get_input_tensor_by_name=lambda request, key: request.tensors.get(key),
    get_output_tensor_by_name=lambda response, key: response.tensors.get(key),
)
sys.modules[UTILS.__name__] = UTILS


class Server:
    """Load every model of a repository; ``calls`` lists the parts that ran, with their numbers of rows.

    One server at a time answers the calls of parts. `close` unloads the networks.
    """

    def __init__(self, repository: Path, place: Path) -> None:
        self.calls: list[tuple[str, int]] = []
        self.configs: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, onnxruntime.InferenceSession] = {}
        self.networks: dict[str, Any] = {}
        self.failures: dict[str, Callable[[Mapping[str, Array]], Array]] = {}
        for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
            alone = place / folder.name / folder.name
            shutil.copytree(folder, alone)
            self._load(alone)
        InferenceRequest.call = self.part

    def close(self) -> None:
        for network in self.networks.values():
            network.finalize()

    def ask(self, name: str, *requests: Request) -> list[InferenceResponse]:
        """Return the responses to requests that arrive together: in one call of ``execute`` if the config allows it."""
        config = self.configs[name]
        if "dynamic_batching" in config:
            return self._execute(name, requests)
        for request in requests:
            assert self._execute(name, [request]) == []
        return [self._checked(config, request, request.sender.wait()) for request in requests]

    def part(self, name: str, outputs_requested: Sequence[str], inputs: Mapping[str, Array]) -> InferenceResponse:
        """Run a model on behalf of another one; failures become error responses."""
        try:
            if name not in self.sessions:
                raise RefusedError(f"model '{name}' is not ready")
            rows = _check_tensors(self.configs[name], inputs, "input")
            if rows > self.configs[name]["max_batch_size"]:
                raise RefusedError(f"{name}: a batch of {rows}")
            self.calls.append((name, rows))
            if name in self.failures:
                outputs = [self.failures[name](inputs)]
            else:
                outputs = self.sessions[name].run(list(outputs_requested), dict(inputs))
                _check_tensors(self.configs[name], dict(zip(outputs_requested, outputs)), "output")
            return InferenceResponse([Tensor(key, values) for key, values in zip(outputs_requested, outputs)])
        except RefusedError as error:
            return InferenceResponse(error=TritonError(str(error)))

    def rows(self, ending: str) -> list[int]:
        """Return the number of rows of each call of a part."""
        return [rows for name, rows in self.calls if name.endswith(ending)]

    def _execute(self, name: str, requests: Sequence[Request]) -> list[InferenceResponse]:
        config, rows = self.configs[name], 0
        for request in requests:
            rows += _check_tensors(config, {key: tensor.as_numpy() for key, tensor in request.tensors.items()}, "input")
        if rows > config["max_batch_size"]:
            raise RefusedError(f"{name}: a batch of {rows} clips")
        responses = self.networks[name].execute(list(requests))
        if responses is None:
            return []
        if len(responses) != len(requests):
            raise RefusedError(f"{len(responses)} responses for {len(requests)} requests")
        return [self._checked(config, *pair) for pair in zip(requests, responses)]

    def _checked(self, config: Mapping[str, Any], request: Request, response: InferenceResponse) -> InferenceResponse:
        if not response.has_error():
            expected = {**config, "output": [each for each in config["output"] if each["name"] in request.outputs]}
            _check_tensors(expected, {key: tensor.as_numpy() for key, tensor in response.tensors.items()}, "output")
        return response

    def _load(self, folder: Path) -> None:
        config = parse_config((folder / "config.pbtxt").read_text(encoding="ascii"))
        missing = set(SCHEMA) - {"dynamic_batching"} - set(config)
        if missing or config["name"] != folder.name or config["max_batch_size"] < 1:
            raise RefusedError(f"{folder.name}: {missing or config}")
        if config["version_policy"] != {"specific": {"versions": [1]}}:
            raise RefusedError(f"{folder.name}: {config['version_policy']}")
        self.configs[folder.name] = config
        file = folder / "1" / config["default_model_filename"]
        if (folder / "1" / "model.onnx").is_file():
            self.sessions[folder.name] = _session(folder / "1" / "model.onnx", config)
        else:
            self.networks[folder.name] = load_model(file, config)


def load_model(file: Path, config: Mapping[str, Any]) -> Any:
    """Import a ``model.py`` and initialize its model."""
    spec = importlib.util.spec_from_file_location(f"triton_model_{config['name']}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = sys.path.copy()
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = path
    model = module.TritonPythonModel()
    folder = file.parents[1]
    args = {"model_repository": str(folder), "model_name": config["name"], "model_version": file.parent.name}
    model.initialize({"model_config": json.dumps(config), **args})
    return model


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
