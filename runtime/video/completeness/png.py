"""APNG: the file must contain its last chunk."""

from __future__ import annotations

from typing import BinaryIO

from .elements import MAX_ELEMENTS, of_bytes, read_at


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    if read_at(file, 0, 8) != b"\x89PNG\r\n\x1a\n":
        return None
    place = 8
    for _ in range(MAX_ELEMENTS):
        head = read_at(file, place, 8)
        if len(head) < 8:
            return "its last chunk is missing"
        if not head[4:].isalpha():
            return None  # damaged
        place += 12 + int.from_bytes(head[:4], "big")  # size, type and checksum surround the content
        if place > size:
            return of_bytes(size, place)
        if head[4:] == b"IEND":
            return None
    return None
