"""AVI: lists, chunks and the index must lie within the file, as must the chunks listed in an OpenDML index.

The frame counts in the headers are ignored, because they are wrong in many complete files. The size of the outer RIFF
chunk counts only if no index follows the frames, since some writers include the chunk's own header in the size.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .elements import MAX_ELEMENTS, Element, of_bytes, read_at

_UNKNOWN = (0, 0xFFFF_FFFF)  # placeholders left by a writer that cannot seek or was interrupted
_RIFF_TOLERANCE = 9  # the chunk's own header and a pad byte
_MAX_HEADER_BYTES = 1 << 24
_KNOWN = re.compile(rb"RIFF|LIST|idx1|JUNK|ix\d\d|\d\d(dc|db|pc|wb|tx|sb)")


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    declared, riff_end, indexed = 0, 0, False
    for chunk in _chunks(file):
        end = chunk.end or 0
        if chunk.name == b"RIFF":
            riff_end = end
            continue
        declared = max(declared, end)
        if chunk.name == b"hdrl" and end <= size:
            declared = max(
                declared, _indexed_bytes(read_at(file, chunk.start, min(end - chunk.start, _MAX_HEADER_BYTES)))
            )
        indexed |= chunk.name == b"idx1" and end <= size
    if not indexed and riff_end > size + _RIFF_TOLERANCE:
        declared = max(declared, riff_end)
    return of_bytes(size, declared) if declared > size else None


def _chunks(file: BinaryIO) -> Iterator[Element]:
    """Yield RIFF chunks, their children (lists named by type), and the children of lists of unknown size."""
    place = 0
    for _ in range(MAX_ELEMENTS):
        data = read_at(file, place, 12)
        if len(data) < 8 or not _KNOWN.fullmatch(data[:4]):
            return  # the end of the file, or unrelated data after the last chunk
        name, length = struct.unpack_from("<4sI", data)
        nests = name in (b"RIFF", b"LIST")
        end = None if nests and length in _UNKNOWN else place + 8 + length
        yield Element(data[8:12] if name == b"LIST" else name, place + (12 if nests else 8), end)
        place = place + 12 if name == b"RIFF" or end is None else end + length % 2


def _indexed_bytes(header: bytes) -> int:
    """Return the end of the last chunk that the OpenDML indexes in an `hdrl` list point to."""
    last, place = 0, header.find(b"indx")
    while 0 <= place <= len(header) - 32:
        longs, kind, count = struct.unpack_from("<HxBI", header, place + 8)
        if longs == 4 and kind == 0:  # an index of indexes: position, size and duration of each
            table = header[place + 32 : place + 32 + 16 * count]
            entries = struct.iter_unpack("<QI4x", table[: len(table) // 16 * 16])
            last = max(last, *(start + length for start, length in entries), 0)
        place = header.find(b"indx", place + 4)
    return last
