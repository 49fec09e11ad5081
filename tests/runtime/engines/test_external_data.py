"""The files that a graph refers to are those that onnx sees, for valid, ambiguous and damaged graphs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from vbench.runtime.engines.external_data import MESSAGES, WireError, external_files

SEED = 13


def external(location: str = "weights.bin", **entries: str) -> TensorProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def model() -> onnx.ModelProto:
    """Return a model with a tensor in each place that can hold one, each in its own file."""
    names = (f"file{number}" for number in range(99))

    def tensor() -> TensorProto:
        return external(next(names), checksum="0")

    def graph(inner: bool) -> onnx.GraphProto:
        attributes: list[Any] = [helper.make_attribute("value", 0.5)]
        for kind in ("t", "tensors", "sparse_tensor", "sparse_tensors", *(("g", "graphs") if inner else ())):
            attribute = onnx.AttributeProto(name=kind)
            made: Any = (
                tensor()
                if kind in ("t", "tensors")
                else graph(False)
                if kind in ("g", "graphs")
                else onnx.SparseTensorProto(values=tensor(), indices=tensor())
            )
            field = getattr(attribute, kind)
            field.append(made) if kind.endswith("s") else field.CopyFrom(made)
            attributes.append(attribute)
        node = onnx.NodeProto(op_type="If", name="location", attribute=attributes)
        return onnx.GraphProto(
            name="graph",
            node=[node],
            initializer=[tensor(), TensorProto(name="inside", raw_data=b"location")],
            sparse_initializer=[onnx.SparseTensorProto(values=tensor(), indices=tensor())],
        )

    function = onnx.FunctionProto(name="f", node=graph(False).node, attribute_proto=graph(False).node[0].attribute)
    training = onnx.TrainingInfoProto(initialization=graph(False), algorithm=graph(False))
    return onnx.ModelProto(ir_version=10, graph=graph(True), functions=[function], training_info=[training])


def tensors(message: Any) -> Iterator[Any]:
    """Yield all tensors of a parsed message, found by reflection."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from tensors(each)


def locations(message: Any) -> set[bytes]:
    """Return the files that a library may open: the last location of every tensor."""
    entries = (entry for tensor in tensors(message) for entry in tensor.external_data)
    # Text that is not UTF-8 is bytes.
    return {
        entry.value if isinstance(entry.value, bytes) else entry.value.encode()
        for entry in entries
        if entry.key == "location"
    }


def test_the_messages_are_those_of_onnx() -> None:
    found: dict[str, dict[int, str]] = {}
    holding = {"TensorProto"}
    messages = dict(onnx.onnx_ml_pb2.DESCRIPTOR.message_types_by_name)
    for _ in messages:  # until no further message holds a tensor
        for name, each in messages.items():
            inner = {
                field.number: field.message_type.name
                for field in each.fields
                if field.message_type is not None and field.message_type.name in holding
            }
            if inner and name != "TensorProto":
                holding.add(name)
                found[name] = inner
    assert found == MESSAGES


def test_every_place_of_a_tensor_is_seen() -> None:
    whole = model()
    assert len(locations(whole)) > 30
    assert external_files(whole.SerializeToString()) == locations(whole)


def varint(value: int, needless: int = 0) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value | (0x80 if needless else 0))
    return bytes(out) + b"\x80" * max(needless - 1, 0) + (b"\x00" if needless else b"")


def field(number: int, content: bytes, wire: int = 2) -> bytes:
    return varint(number << 3 | wire) + (varint(len(content)) + content if wire == 2 else content)


def in_model(*tensor_fields: bytes) -> bytes:
    """Return a model whose only initializer consists of serialized fields."""
    return field(7, field(5, b"".join(tensor_fields)))


EXTERNAL = field(14, b"\x01", wire=0)
ENTRY = field(1, b"location") + field(2, b"weights.bin")
EVIL = field(2, b"/etc/passwd")


def test_a_plain_entry() -> None:
    assert external_files(in_model(field(13, ENTRY), EXTERNAL)) == {b"weights.bin"}
    assert external_files(in_model(EXTERNAL, field(13, field(2, b"a") + field(1, b"location")))) == {b"a"}
    assert external_files(b"") == set()


@pytest.mark.parametrize(
    "content",
    [
        in_model(field(13, ENTRY + EVIL), EXTERNAL),
        in_model(field(13, field(1, b"x") + ENTRY), EXTERNAL),
        # The first two bytes of the key look like the start of an entry.
        in_model(field(13, field(1, b"\x6a\x17") + ENTRY + EVIL), EXTERNAL),
        in_model(field(13, ENTRY), field(13, field(1, b"location") + EVIL), EXTERNAL),
        in_model(field(13, ENTRY), field(13, ENTRY), EXTERNAL),
        in_model(field(13, field(1, b"location")), EXTERNAL),
        in_model(field(13, EVIL), EXTERNAL),
        in_model(field(13, ENTRY + field(3, b"x")), EXTERNAL),
        in_model(field(13, ENTRY)),
        in_model(field(13, ENTRY), field(14, b"\x00", wire=0)),
        in_model(field(13, ENTRY), EXTERNAL, EXTERNAL),
        in_model(field(13, ENTRY), field(14, b"\x01")),
        in_model(EXTERNAL),
        in_model(varint(13 << 3 | 2) + varint(len(ENTRY), needless=1) + ENTRY, EXTERNAL),
        in_model(varint(13 << 3 | 2, needless=2) + varint(len(ENTRY)) + ENTRY, EXTERNAL),
        in_model(varint(13 << 3 | 3) + ENTRY + varint(13 << 3 | 4), EXTERNAL),
        in_model(varint(99 << 3 | 6), EXTERNAL),
        in_model(varint(99 << 3 | 7), EXTERNAL),
        in_model(field(0, ENTRY), EXTERNAL),
        in_model(field(13, ENTRY)[:-1], EXTERNAL),
        in_model(b"\xff" * 11),
        field(7, b"\x01", wire=0),
        field(7, field(5, EVIL, wire=5)),
        field(7, b"location")[:-3],
    ],
)
def test_ambiguous_or_damaged(content: bytes) -> None:
    with pytest.raises(WireError):
        external_files(content)


def test_graphs_nested_without_end_do_not_recurse() -> None:
    content = field(5, field(13, ENTRY) + EXTERNAL)
    for _ in range(2000):
        content = field(1, field(5, field(6, content)))
    assert external_files(field(7, content)) == {b"weights.bin"}


def test_repeated_graphs_are_merged_as_protobuf_does() -> None:
    parts = [onnx.ModelProto(graph=onnx.GraphProto(initializer=[external(name)])) for name in ("a", "b")]
    content = b"".join(part.SerializeToString() for part in parts)
    assert external_files(content) == {b"a", b"b"} == locations(onnx.ModelProto.FromString(content))


def mutations(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield damaged copies: bytes changed, removed, repeated and moved, some of them within an entry."""
    entries = [at for at in range(len(content)) if content.startswith(b"\x0a\x08location", at)]
    while True:
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.choice(entries) + chance.randrange(-4, 30) if chance.random() < 0.8 else 0
            at = at if at > 0 else chance.randrange(len(changed))
            at = min(at, len(changed) - 1)
            other = chance.randrange(len(changed))
            match chance.randrange(5):
                case 0:
                    changed[at] = chance.choice((chance.randrange(256), 0x0A, 0x12, 0x6A, 0x70, 0x80, 0, 1))
                case 1:
                    del changed[at : at + chance.choice((1, 2, 10))]
                case 2:
                    changed[at:at] = changed[other : other + chance.choice((1, 2, 12, 24))]
                case 3:
                    changed[at] ^= 1 << chance.randrange(8)
                case _:
                    changed[at:at] = chance.choice((EVIL, ENTRY, field(13, ENTRY), EXTERNAL, b"\x80\x00"))
        yield bytes(changed)


def compare(content: bytes) -> bool | None:
    """Compare with onnx; return whether both accept the graph, None if only one does."""
    try:
        found = external_files(content)
    except WireError:
        return False
    try:
        parsed = onnx.ModelProto.FromString(content)
    except DecodeError:
        return None  # it is never loaded
    assert locations(parsed) <= found, content
    return True


@pytest.mark.parametrize("count", [3_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_what_onnx_reads_is_what_the_check_sees(count: int) -> None:
    small = onnx.ModelProto(ir_version=10, graph=onnx.GraphProto(initializer=[external(), external("other", x="1")]))
    chance = random.Random(SEED)
    accepted = 0
    for content, _ in zip(mutations(small.SerializeToString(), chance), range(count)):
        accepted += compare(content) is True
    assert accepted > count / 50, "the mutations do not damage every graph"
