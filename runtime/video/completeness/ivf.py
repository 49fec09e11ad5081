"""IVF: every frame must lie within the file. The frame count in the header is ignored, because it is often wrong."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .elements import MAX_ELEMENTS, of_bytes, read_at


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    head = read_at(file, 0, 8)
    if head[:4] != b"DKIF" or len(head) < 8:
        return None
    place = int(struct.unpack_from("<H", head, 6)[0])
    for _ in range(MAX_ELEMENTS):
        if place >= size:
            return None
        frame = read_at(file, place, 12)
        place += 12 + (int.from_bytes(frame[:4], "little") if len(frame) == 12 else 0)
        if place > size:
            return of_bytes(size, place)
    return None
