"""Field-level mutations of protobuf messages, without a schema: deleted, repeated, moved and changed fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}
_VARINTS = (0, 1, 2, 7, 10, 16, 127, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)
_TEXTS = (b"", b"\x00", b"x" * 300, b"\xff\xfe", b"../../outside/secret", b"/etc/passwd", b"\x1b[31m", b"a\nb")


@dataclass
class Field:
    """A field; ``fields`` holds the content of a message, if the bytes can be one."""

    number: int
    kind: int
    value: int | bytes
    fields: list[Field] = field(default_factory=list)

    def encode(self) -> bytes:
        """Return the field with its tag."""
        tag = encode_varint(self.number << 3 | self.kind)
        if self.kind == VARINT:
            assert isinstance(self.value, int)
            return tag + encode_varint(self.value)
        content = encode(self.fields) if self.fields else self.value
        assert isinstance(content, bytes)
        return tag + (encode_varint(len(content)) if self.kind == BYTES else b"") + content


class Mutation(NamedTuple):
    """The message, and the mutation in words."""

    data: bytes
    what: str


def encode(fields: list[Field]) -> bytes:
    """Return a message."""
    return b"".join(each.encode() for each in fields)


def encode_varint(value: int) -> bytes:
    """Return a variable-length integer."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def decode(data: bytes, depth: int = 6) -> list[Field]:
    """Return the fields of a message.

    Raises:
        ValueError: the bytes are not a message.
    """
    fields, place = [], 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError("field 0")
        found, place = _decode_field(data, place, number, kind, depth)
        fields.append(found)
    return fields


def _decode_field(data: bytes, place: int, number: int, kind: int, depth: int) -> tuple[Field, int]:
    if kind == VARINT:
        value, place = _varint(data, place)
        return Field(number, kind, value), place
    if kind == BYTES:
        size, place = _varint(data, place)
    elif kind in _SIZES:
        size = _SIZES[kind]
    else:
        raise ValueError(f"wire type {kind}")
    content = data[place : place + size]
    if len(content) != size:
        raise ValueError("cut off")
    inner: list[Field] = []
    if kind == BYTES and depth and 0 < size < 100_000:
        try:
            inner = decode(content, depth - 1)
        except ValueError:
            inner = []
    return Field(number, kind, content, inner), place + size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("cut off")


def mutate_message(rng: Random, data: bytes) -> Mutation:
    """Return a message with one to three mutated fields."""
    top = decode(data)
    said = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        fields = _choose(rng, top)
        said.append(_mutate(rng, fields, rng.randrange(len(fields))) if fields else "empty")
    return Mutation(encode(top), ", ".join(said))


def _choose(rng: Random, fields: list[Field]) -> list[Field]:
    """Descend into random messages."""
    while inner := [each.fields for each in fields if each.fields]:
        if rng.random() < 0.25:
            break
        fields = rng.choice(inner)
    return fields


def _mutate(rng: Random, fields: list[Field], place: int) -> str:
    found = fields[place]
    name = f"field {found.number}"
    kind = rng.randrange(7)
    if kind == 0:
        del fields[place]
        return f"no {name}"
    if kind == 1:
        fields.insert(rng.randrange(len(fields) + 1), found)
        return f"{name} twice"
    if kind == 2:
        found.number = rng.choice((1, 2, 5, 8, 9, 13, 14, 20, 999, found.number + 1))
        return f"{name} numbered {found.number}"
    if kind == 3:
        fields.append(Field(rng.choice((1, 4, 7, 13, 14)), BYTES, rng.choice(_TEXTS)))
        return f"another field {fields[-1].number}"
    if kind == 4:
        other = rng.choice(fields)
        found.kind, found.value, found.fields = other.kind, other.value, other.fields
        return f"{name} like field {other.number}"
    return _change(rng, found, name)


def _change(rng: Random, found: Field, name: str) -> str:
    if found.kind == VARINT:
        found.value = rng.choice(_VARINTS)
        return f"{name} is {found.value}"
    content = found.value
    assert isinstance(content, bytes)
    found.fields = []
    if rng.random() < 0.5 or found.kind != BYTES:
        found.value = rng.randbytes(len(content))
        return f"{name} is random"
    found.value = rng.choice((*_TEXTS, content[: len(content) // 2], content * 2))
    return f"{name} is {found.value[:12]!r}"
