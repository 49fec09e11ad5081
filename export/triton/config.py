"""Write config.pbtxt, Triton's model configuration, in the text format of the ``ModelConfig`` message.

It covers only the fields that vbench's repositories need, in the order of the message, so that files can be compared
line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Union

Device = Literal["auto", "gpu", "cpu"]
DATA_TYPES: Final = {
    "uint8": "TYPE_UINT8",
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "string": "TYPE_STRING",
}
_ESCAPES: Final = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_PRINTABLE: Final = range(0x20, 0x7F)


@dataclass(frozen=True)
class Enum:
    """An enum value, written without quotes."""

    name: str


Value = Union[str, int, bool, Enum, "Message", "tuple[int, ...]"]
Message = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class TensorConfig:
    """An input or output of a model; ``dims`` excludes the batch, and -1 is a dynamic axis.

    The shapes of a ``ragged`` input may differ between the requests in a batch.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    ragged: bool = False

    def message(self) -> Message:
        """Return the fields of the message."""
        ragged: Message = (("allow_ragged_batch", True),) if self.ragged else ()
        return (("name", self.name), ("data_type", Enum(DATA_TYPES[self.dtype])), ("dims", self.dims), *ragged)


@dataclass(frozen=True)
class ModelConfig:
    """One model of a repository.

    Attributes:
        backend: ``onnxruntime`` or ``python``.
        file: name of the model file in its version folder.
        max_batch_size: maximum number of rows per call; the first axis of every tensor is the batch.
        device: where instances run; with ``auto``, the server chooses a GPU if there is one.
        instances: number of instances (per GPU, if they run on GPUs).
        batching_us: maximum time that a request waits for others, in microseconds; None disables dynamic batching.
    """

    name: str
    backend: Literal["onnxruntime", "python"]
    file: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    device: Device = "auto"
    instances: int = 1
    batching_us: int | None = None

    def text(self) -> str:
        """Return the contents of config.pbtxt."""
        return "".join(f"{line}\n" for line in _lines(self.message()))

    def message(self) -> Message:
        """Return the fields of the message."""
        group: Message = (("count", self.instances), ("kind", Enum(f"KIND_{self.device.upper()}")))
        batching: Message = ()
        if self.batching_us is not None:
            batching = (("dynamic_batching", (("max_queue_delay_microseconds", self.batching_us),)),)
        return (
            ("name", self.name),
            ("backend", self.backend),
            ("version_policy", (("specific", (("versions", (1,)),)),)),
            ("max_batch_size", self.max_batch_size),
            *(("input", tensor.message()) for tensor in self.inputs),
            *(("output", tensor.message()) for tensor in self.outputs),
            *batching,
            ("instance_group", group),
            ("default_model_filename", self.file),
        )


def quote(text: str) -> str:
    """Return ``text`` as a string literal in protobuf's text format: UTF-8, with non-ASCII bytes in octal."""
    escaped = text.translate(_ESCAPES).encode("utf-8")
    return '"' + "".join(chr(byte) if byte in _PRINTABLE else f"\\{byte:03o}" for byte in escaped) + '"'


def _lines(message: Message, indent: str = "") -> Iterator[str]:
    for name, value in message:
        if _is_message(value):
            yield f"{indent}{name} {{"
            yield from _lines(value, indent + "  ")  # type: ignore[arg-type] # a message, see _is_message
            yield f"{indent}}}"
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _is_message(value: Value) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, tuple) for item in value)


def _scalar(value: Value) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, tuple):
        return f"[ {', '.join(map(str, value))} ]"
    return str(value).lower()
