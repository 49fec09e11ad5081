"""A parsed ONNX model: tensors with shapes and types, layers with precisions; and its plan.

A plan can be loaded only by the release and on the GPU that it was built for, or, with TensorRT-RTX, on any GPU of the
compute capabilities that it was built for.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnxruntime

HEADER_SIZE = 64
_MAGIC = b"fake plan\x00"
_ONNX_TYPES = {1: "FLOAT", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 16: "BF16"}
NUMPY = {"FLOAT": "f4", "HALF": "f2", "INT8": "i1", "INT32": "i4", "INT64": "i8", "BOOL": "?", "UINT8": "u1"}
_SPOKEN = {"FLOAT": "Float", "HALF": "Half", "INT8": "Int8", "INT32": "Int32", "INT64": "Int64", "BOOL": "Bool"}

Range = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class RefusedError(Exception):
    """The runtime rejects a plan."""


@dataclass(frozen=True)
class FakeTensor:
    """An input or output; a dynamic dimension is -1."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def dynamic(self) -> bool:
        return -1 in self.shape


@dataclass(frozen=True)
class Layer:
    """A layer; ``dtypes`` are its output types, as far as ONNX can infer them."""

    name: str
    operator: str
    dtypes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model; ``content`` is the ONNX file including its weights."""

    graph: str
    inputs: tuple[FakeTensor, ...]
    outputs: tuple[FakeTensor, ...]
    layers: tuple[Layer, ...]
    content: bytes = field(repr=False)

    @property
    def tensors(self) -> dict[str, FakeTensor]:
        return {tensor.name: tensor for tensor in (*self.inputs, *self.outputs)}


@lru_cache(maxsize=256)
def read_model(content: bytes) -> Model:
    """Return TensorRT's view of an ONNX file."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content), data_prop=True).graph
    types = {weight.name: weight.data_type for weight in graph.initializer}
    inputs = tuple(_tensor(info) for info in graph.input if info.name not in types)
    types |= {info.name: info.type.tensor_type.elem_type for info in (*graph.value_info, *graph.input, *graph.output)}
    layers = tuple(
        Layer(
            node.name or f"{node.op_type}_{index}",
            node.op_type,
            tuple(_ONNX_TYPES.get(types.get(name, 1), "FLOAT") for name in node.output),
            tuple(node.input),
            tuple(node.output),
        )
        for index, node in enumerate(graph.node)
    )
    return Model(graph.name, inputs, tuple(map(_tensor, graph.output)), layers, content)


def _tensor(info: onnx.ValueInfoProto) -> FakeTensor:
    kind = info.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)
    return FakeTensor(info.name, _ONNX_TYPES[kind.elem_type], shape)


@dataclass(frozen=True)
class Plan:
    """A serialized engine.

    Attributes:
        gpu: the name of the GPU that it is for; empty if the compute capability decides.
        capabilities: the compute capabilities that it is for, such as 90.
        tf32: whether TF32 may be used.
        ranges: the smallest, best and largest shape of every dynamic input.
        content: the ONNX file including its weights.
    """

    version: str
    gpu: str
    capabilities: tuple[int, ...]
    name: str
    verbosity: str
    tf32: bool
    ranges: dict[str, Range]
    content: bytes = field(repr=False)

    @property
    def model(self) -> Model:
        return read_model(self.content)

    def dump(self) -> bytes:
        """Return the serialized plan: a header of 64 bytes, a digest, and the content."""
        values = {each.name: getattr(self, each.name) for each in fields(self)} | {"content": None}
        text = json.dumps(values).encode()
        body = len(text).to_bytes(4, "little") + text + self.content
        release = f"{self.version};{','.join(map(str, self.capabilities))}".encode()
        return (_MAGIC + release).ljust(HEADER_SIZE) + hashlib.sha256(body).digest() + body

    @staticmethod
    def load(data: bytes) -> Plan:
        """Read the output of `dump`; raise RefusedError if the data are foreign or truncated."""
        if read_header(data) is None:
            raise RefusedError("Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match")
        digest, body = data[HEADER_SIZE : HEADER_SIZE + 32], data[HEADER_SIZE + 32 :]
        if hashlib.sha256(body).digest() != digest:
            raise RefusedError(
                "Serialization assertion remaining >= bytes failed.Unexpected end of the serialized engine"
            )
        size = int.from_bytes(body[:4], "little")
        return Plan(**json.loads(body[4 : 4 + size]) | {"content": body[4 + size :]})

    def range(self, tensor: FakeTensor) -> Range:
        """Return the permitted shapes of an input."""
        if not tensor.dynamic:
            return (tensor.shape,) * 3
        low, best, high = map(tuple, self.ranges[tensor.name])
        return low, best, high


def read_header(data: bytes) -> tuple[str, tuple[int, ...]] | None:
    """Return the release and the compute capabilities of a plan, or None if the data are no plan."""
    if not data.startswith(_MAGIC) or len(data) < HEADER_SIZE:
        return None
    version, _, capabilities = data[len(_MAGIC) : HEADER_SIZE].decode().partition(";")
    return version, tuple(map(int, capabilities.split(",")))


def _model(head: dict[str, Any], content: bytes) -> Model:
    inputs, outputs = (
        [FakeTensor(t["name"], t["dtype"], tuple(t["shape"])) for t in head[k]] for k in ("inputs", "outputs")
    )
    layers = [Layer(*(tuple(v) if isinstance(v, list) else v for v in layer.values())) for layer in head["layers"]]
    return Model(head["graph"], tuple(inputs), tuple(outputs), tuple(layers), content)


def spoken(layer: Layer) -> list[str]:
    """Return the inspector's names of a layer's output types."""
    return [_SPOKEN.get(dtype, dtype) for dtype in layer.dtypes]


def nbytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the size of a tensor in bytes."""
    return math.prod(shape) * np.dtype(NUMPY[dtype]).itemsize


@lru_cache(maxsize=256)
def session(content: bytes) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session for a model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1024)
def output_shapes(content: bytes, inputs: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, tuple[int, ...]]:
    """Return the output shapes for the given input shapes; a data-dependent size is -1."""
    proto = onnx.load_model_from_string(content)
    shapes = dict(inputs)
    for info in proto.graph.input:
        for size, number in zip(info.type.tensor_type.shape.dim, shapes.get(info.name, ())):
            size.dim_value = number
    for info in proto.graph.output:
        info.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    found = {}
    for info in inferred.graph.output:
        sizes = info.type.tensor_type.shape.dim
        found[info.name] = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in sizes)
    return found
