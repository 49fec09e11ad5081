"""File names as text: valid Unicode, one key per name."""

from __future__ import annotations

import os
import re
from itertools import product

import pytest

from vbench.names import name_key, valid_text


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"plain.mp4", "plain.mp4"),
        (b"caf\xe9.mp4", r"caf\xe9.mp4"),
        ("café.mp4".encode(), "café.mp4"),
        (rb"caf\xe9.mp4", r"caf\x5cxe9.mp4"),
        (rb"caf\x5cxe9.mp4", r"caf\x5cx5cxe9.mp4"),
        (rb"a\b\x41\n.mp4", r"a\b\x41\n.mp4"),
        (b"\\\xff", r"\\xff"),
    ],
)
def test_keys(name: bytes, key: str) -> None:
    assert name_key(os.fsdecode(name)) == key


def name_of(key: str) -> bytes:
    """Invert `name_key`."""
    found = re.sub(r"\\x(5c|[89a-f][0-9a-f])", lambda escape: chr(0xDC00 + int(escape[1], 16)), key)
    return found.replace(chr(0xDC5C), "\\").encode("utf-8", "surrogateescape")


def test_every_name_can_be_recovered_from_its_key() -> None:
    pieces = (b"\\", b"x", b"e9", b"5c", b"\xe9", "é".encode())
    names = [b"".join(found) for length in range(1, 6) for found in product(pieces, repeat=length)]
    for name in names:
        key = name_key(os.fsdecode(name))
        key.encode()
        assert name_of(key) == name


def test_text_keeps_everything_but_surrogates() -> None:
    assert valid_text("cannot open caf\udce9.mp4: \\xe9 é\n") == "cannot open caf\\xe9.mp4: \\xe9 é\n"
    assert valid_text("\ud83d") == name_key("\ud83d") == "\\ud83d"
