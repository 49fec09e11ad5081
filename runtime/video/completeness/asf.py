"""ASF (WMV): the data object must lie within the file, and the file must be as long as its header says."""

from __future__ import annotations

import struct
from typing import BinaryIO

from .elements import of_bytes, read_at

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_BROADCAST = 1  # flag: the sizes are not valid
_MAX_HEADER_BYTES = 1 << 24


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    head = read_at(file, 0, 24)
    if head[:16] != _HEADER or len(head) < 24:
        return None
    (length,) = struct.unpack_from("<Q", head, 16)
    declared = length
    header = read_at(file, 0, min(length, _MAX_HEADER_BYTES))
    place = header.find(_FILE_PROPERTIES)
    if place >= 0 and place + 92 <= len(header):
        (flags,) = struct.unpack_from("<I", header, place + 88)
        if flags & _BROADCAST:
            return None
        declared = max(declared, struct.unpack_from("<Q", header, place + 40)[0])
    data = read_at(file, length, 24)
    if data[:16] == _DATA and len(data) == 24:
        declared = max(declared, length + struct.unpack_from("<Q", data, 16)[0])
    return of_bytes(size, declared) if declared > size else None
