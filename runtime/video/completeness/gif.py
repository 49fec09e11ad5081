"""GIF: the file must contain its trailer."""

from __future__ import annotations

from typing import BinaryIO

from .elements import MAX_ELEMENTS, read_at

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def shortfall(file: BinaryIO, size: int) -> str | None:  # noqa: ARG001 - a GIF declares no size
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    head = read_at(file, 0, 13)
    if head[:4] != b"GIF8" or len(head) < 13:
        return None
    place = 13 + _table_bytes(head[10])
    for _ in range(MAX_ELEMENTS):
        block = read_at(file, place, 10)
        if not block:
            return "it contains no trailer"
        if block[0] == _TRAILER:
            return None
        if block[0] == _EXTENSION:
            place = _after_data(file, place + 2)
        elif block[0] == _IMAGE and len(block) == 10:
            place = _after_data(file, place + 10 + _table_bytes(block[9]) + 1)
        elif block[0] == _IMAGE:
            return "it contains no trailer"
        else:
            return None  # damaged, or padded
    return None


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_data(file: BinaryIO, place: int) -> int:
    """Return the position after a series of data blocks, each preceded by its size; the last block has size 0."""
    for _ in range(MAX_ELEMENTS):
        length = read_at(file, place, 1)
        if not length:
            return place
        place += 1 + length[0]
        if length == b"\0":
            return place
    return place
