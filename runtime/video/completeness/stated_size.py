"""Formats whose header states where the file ends (SWF) or where its footer is (MXF)."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .elements import of_bytes, read_at

_PARTITION = bytes.fromhex("060e2b34020501010d01020101")  # prefix of the key of an MXF partition
_MAX_FOOTER_ELEMENTS = 1000


def swf_shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if it is complete or compressed."""
    head = read_at(file, 0, 8)
    declared = int.from_bytes(head[4:8], "little") if head[:3] == b"FWS" else 0
    return of_bytes(size, declared) if declared > size else None


def mxf_shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its footer is present or not declared."""
    head = read_at(file, 0, 64)
    start, _ = _value(head)
    if head[:13] != _PARTITION or len(head) < start + 32:
        return None
    (place,) = struct.unpack_from(">Q", head, start + 24)
    for _ in range(_MAX_FOOTER_ELEMENTS if place else 0):
        if place >= size:
            break
        element = read_at(file, place, 25)
        if element[:4] != _PARTITION[:4]:
            return None
        start, length = _value(element)
        place += start + length
    return of_bytes(size, place) if place > size else None


def _value(element: bytes) -> tuple[int, int]:
    """Return the position of an element's content, which follows the 16-byte key, and the length of the content."""
    first = element[16] if len(element) > 16 else 0
    if first < 0x80:
        return 17, first
    start = 17 + (first & 0x7F)
    return start, int.from_bytes(element[17:start], "big")
