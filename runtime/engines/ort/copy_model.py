"""A model with a single Identity node, which copies between memory addresses with ONNX Runtime.

With its input and output bound by address, it copies between any two locations that a session can access. The model is
constant and is serialized here byte by byte, since the runtime does not depend on the onnx package.
"""

from __future__ import annotations

SOURCE, TARGET = "source", "target"
_IR_VERSION, _OPSET, _FLOAT = 8, 14, 1  # from 2021: understood by every version of ONNX Runtime that vbench supports


def identity_graph() -> bytes:
    """Return an ONNX model that copies its float32 input ``source [n]`` to its output ``target [n]``."""
    node = _text(1, SOURCE) + _text(2, TARGET) + _text(3, "copy") + _text(4, "Identity")
    graph = _message(1, node) + _text(2, "copy") + _message(11, _vector(SOURCE)) + _message(12, _vector(TARGET))
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def _vector(name: str) -> bytes:
    """Return the description of a float32 tensor with one dynamic axis."""
    shape = _message(1, _text(2, "n"))
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT) + _message(2, shape)))


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    assert len(content) < 1 << 14
    low, high = len(content) & 0x7F, len(content) >> 7
    return bytes([field << 3 | 2, *([low | 0x80, high] if high else [low])]) + content


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3, value])
