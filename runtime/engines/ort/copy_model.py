"""A graph of one node that copies: ONNX Runtime's own way to move values between addresses.

Run with its input and output bound by address it is a copy between any two places that a session can see. It is
written here byte by byte, since the package that writes graphs is no part of the runtime, and never changes.
"""

from __future__ import annotations

SOURCE, TARGET = "source", "target"
_IR_VERSION, _OPSET, _FLOAT = 8, 14, 1  # of 2021: every ONNX Runtime that vbench takes reads them


def identity_graph() -> bytes:
    """Return an ONNX model whose float32 output ``target [n]`` is its input ``source [n]``."""
    node = _text(1, SOURCE) + _text(2, TARGET) + _text(3, "copy") + _text(4, "Identity")
    graph = _message(1, node) + _text(2, "copy") + _message(11, _vector(SOURCE)) + _message(12, _vector(TARGET))
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def _vector(name: str) -> bytes:
    """Return the description of a float32 tensor of one axis, whose length is open."""
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
