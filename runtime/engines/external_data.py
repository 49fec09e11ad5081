"""Find the files that an ONNX graph refers to, without the onnx package and without opening the files.

The libraries that load a graph open these files, so this module must find the same files whatever the bytes are.
Protobuf allows a message to repeat a field (the last value counts) or to encode a number in several ways; here,
anything that no ONNX writer produces is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1  # fields of a tensor, and one value of the second
_KEY, _VALUE = 1, 2  # fields of an entry
# For each message that may contain a tensor, the fields that lead to it; tests/runtime/engines compares them with onnx.
MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}


class WireError(ValueError):
    """Raised for bytes that no ONNX writer produces."""


class _Field(NamedTuple):
    number: int
    wire: int
    value: int  # value of a varint; 0 for other fields
    content: memoryview


def external_files(graph: bytes) -> set[bytes]:
    """Return the locations of all external data files that a serialized ``ModelProto`` refers to.

    Raises:
        WireError: the bytes are not a message in the form that protobuf writes, or an external data entry is ambiguous.
    """
    found: set[bytes] = set()
    waiting = [("ModelProto", memoryview(graph))]
    while waiting:
        message, content = waiting.pop()
        if message == "TensorProto":
            location = _location(content)
            found |= set() if location is None else {location}
            continue
        inner = MESSAGES[message]
        for field in _fields(content):
            if field.number in inner:
                waiting.append((inner[field.number], _bytes(field)))
    return found


def _location(tensor: memoryview) -> bytes | None:
    """Return the location of a tensor's external data; None if the data is in the tensor itself."""
    entries: dict[bytes, bytes] = {}
    external = 0
    for field in _fields(tensor):
        if field.number == _EXTERNAL_DATA:
            key, value = _entry(_bytes(field))
            if key in entries:
                raise WireError(f"a tensor has two external data entries named {key!r}")
            entries[key] = value
        elif field.number == _DATA_LOCATION:
            if field.wire != _VARINT or external:
                raise WireError("a tensor has an invalid data_location")
            external = field.value
    if (external == _EXTERNAL) != (b"location" in entries):
        raise WireError("the location of a tensor's data contradicts its data_location")
    return entries.get(b"location")


def _entry(content: memoryview) -> tuple[bytes, bytes]:
    """Return the key and the value of an entry, which must contain exactly one of each."""
    fields = {field.number: bytes(_bytes(field)) for field in _fields(content)}
    if set(fields) != {_KEY, _VALUE} or sum(1 for _ in _fields(content)) != len(fields):
        raise WireError("an external data entry does not have exactly one key and one value")
    return fields[_KEY], fields[_VALUE]


def _bytes(field: _Field) -> memoryview:
    if field.wire != _BYTES:
        raise WireError(f"field {field.number} has the unexpected wire type {field.wire}")
    return field.content


def _fields(content: memoryview) -> Iterator[_Field]:
    """Yield the fields of a serialized message."""
    position, end = 0, len(content)
    while position < end:
        tag, position = _varint(content, position)
        number, wire = tag >> 3, tag & 7
        value = 0
        if wire == _VARINT:
            value, stop = _varint(content, position)
        elif wire == _BYTES:
            length, position = _varint(content, position)
            stop = position + length
        elif wire in _FIXED_BYTES:
            stop = position + _FIXED_BYTES[wire]
        else:
            raise WireError(f"a field has the unsupported wire type {wire}")  # a group, unused by ONNX, or invalid
        if stop > end or not 0 < number < 1 << 29:
            raise WireError("a field is truncated or has an invalid number")
        yield _Field(number, wire, value, content[position:stop])
        position = stop


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """Return the varint at ``position``, and the position after it."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(content):
            raise WireError("a number is truncated")
        byte = content[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if index and not byte:
                raise WireError("a number has redundant bytes")
            return value, position + index + 1
    raise WireError("a number is too long")
