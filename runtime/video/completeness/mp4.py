"""ISO base media files (MP4, MOV, 3GP): every sample listed in the index must lie within the file.

In a fragmented file, this also applies to the boxes, and to the segments listed in a segment index. In a file without
fragments, only the samples are checked, since the size of its `mdat` box may be wrong or 0; a file that ends with its
index is complete.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from .boxes import Box, box_at, contents
from .elements import MAX_ELEMENTS, of_bytes, read_at
from .mp4_samples import Track, read_tracks

_FRAGMENTS = (b"moof", b"mdat", b"mfra", b"sidx", b"styp")  # in a fragmented file, the only boxes that indicate frames
_MAX_INDEX_BYTES = 1 << 28


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    boxes = list(_boxes(file, size))
    if boxes and boxes[-1].name == b"moov" and boxes[-1].end == size:  # nothing can be missing after the index
        return None
    indexes = [box for box in boxes if box.name == b"moov"]
    if indexes and indexes[-1].end > size:
        return of_bytes(size, indexes[-1].end)
    index = _content(file, indexes[-1]) if indexes else b""
    missing = _missing_samples(list(read_tracks(index)), size)
    if missing is None and (any(box.name == b"moof" for box in boxes) or b"mvex" in contents(index)):
        return _missing_fragments(file, size, boxes)
    return missing


def _boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    place = 0
    for _ in range(MAX_ELEMENTS):
        header = read_at(file, place, 16)
        box = box_at(header, place, size)
        if box is None:
            if len(header) < 8 and header[:1] == b"\0":  # the start of a box rather than arbitrary bytes
                yield Box(b"moof", place, place + 8)
            return
        yield box
        place = box.end


def _content(file: BinaryIO, box: Box) -> bytes:
    return read_at(file, box.start, min(box.end - box.start, _MAX_INDEX_BYTES))


def _missing_samples(tracks: Sequence[Track], size: int) -> str | None:
    cut = [track for track in tracks if track.end > size]
    for track in cut:
        if track.is_video:
            return f"it contains {track.samples_before(size)} of {track.samples} frames"
    return of_bytes(size, max(track.end for track in cut)) if cut else None


def _missing_fragments(file: BinaryIO, size: int, boxes: Sequence[Box]) -> str | None:
    ends = [box.end for box in boxes if box.name in _FRAGMENTS]
    ends += [box.end + _indexed_bytes(_content(file, box)) for box in boxes if box.name == b"sidx" and box.end <= size]
    declared = max(ends, default=0)
    if declared > size:
        return of_bytes(size, declared)
    return "its last fragment has no frames" if boxes[-1].name == b"moof" else None


def _indexed_bytes(data: bytes) -> int:
    """Return the number of bytes from the end of a segment index (`sidx`) to the end of the segments listed in it."""
    layout = ">12xQQ2xH" if data[:1] == b"\1" else ">12xII2xH"  # time, offset of the first segment, count
    start = struct.calcsize(layout)
    if len(data) < start:
        return 0
    _, first, count = struct.unpack_from(layout, data)
    table = data[start : start + 12 * min(count, (len(data) - start) // 12)]
    total: int = first + sum(size & 0x7FFF_FFFF for (size,) in struct.iter_unpack(">I8x", table))
    return total
