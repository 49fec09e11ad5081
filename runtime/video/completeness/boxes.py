"""Boxes of ISO base media files; a box has a size, a type, and content that may itself consist of boxes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple


class Box(NamedTuple):
    """A box: its type, the position of its content, and the declared end, which may be past the end of the file."""

    name: bytes
    start: int
    end: int


def box_at(header: bytes, place: int, limit: int) -> Box | None:
    """Return the box at ``place``, given its first 16 bytes; None if it is not a box. Size 0 means up to ``limit``."""
    if len(header) < 8:
        return None
    length, name = struct.unpack_from(">I4s", header)
    start = place + 8
    if length == 1 and len(header) >= 16:
        length, start = struct.unpack_from(">Q", header, 8)[0], place + 16
    elif length == 0:
        length = limit - place
    return Box(name, start, place + length) if place + length >= start else None


def children(data: bytes, place: int = 0) -> Iterator[Box]:
    """Yield the boxes in a box's content, starting at ``place``; positions are relative to the content."""
    while place + 8 <= len(data):
        box = box_at(data[place : place + 16], place, len(data))
        if box is None or box.end > len(data):
            return
        yield box
        place = box.end


def contents(data: bytes) -> dict[bytes, bytes]:
    """Return the content of each box, keyed by type; if several boxes have the same type, the last one counts."""
    return {box.name: data[box.start : box.end] for box in children(data)}
