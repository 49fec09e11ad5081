"""Matroska and WebM: no segment, cluster or block may extend past the end of the file.

Segments and clusters of unknown size are legal in live recordings; for these, only the elements inside them are
checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .elements import MAX_ELEMENTS, Element, of_bytes, read_at

_HEADER, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_BLOCKS = (b"\xa3", b"\xa0")  # SimpleBlock, BlockGroup
_INFO, _TRACKS, _CUES, _TAGS = b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\x1c\x53\xbb\x6b", b"\x12\x54\xc3\x67"
_IN_SEGMENT = (_CLUSTER, _INFO, _TRACKS, _CUES, _TAGS)


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    if read_at(file, 0, 4) != _HEADER:
        return None
    declared = max((element.end or 0 for element in _elements(file, size)), default=0)
    return of_bytes(size, declared) if declared > size else None


def _elements(file: BinaryIO, size: int) -> Iterator[Element]:
    """Yield segments, their relevant children, and the blocks of clusters of unknown size."""
    place, segment_end, in_open_cluster = 0, 0, False
    for _ in range(MAX_ELEMENTS):
        element = _element_at(read_at(file, place, 12), place)
        if element is None or (place >= segment_end and element.name not in (_HEADER, _SEGMENT)):
            return  # the end of the file, or unrelated data after the last segment
        if element.name == _SEGMENT:
            segment_end = size if element.end is None else element.end
        elif element.name in _IN_SEGMENT:
            in_open_cluster = element.name == _CLUSTER and element.end is None
        if element.name in (_SEGMENT, *_IN_SEGMENT) or (in_open_cluster and element.name in _BLOCKS):
            yield element
        place = element.start if element.name == _SEGMENT or element.end is None else element.end


def _element_at(data: bytes, place: int) -> Element | None:
    """Return the element at ``place``, given its first 12 bytes, or None if it is not an element."""
    id_bytes = _length(data[:1], 4)
    size_bytes = _length(data[id_bytes : id_bytes + 1], 8) if id_bytes else 0
    header = id_bytes + size_bytes
    if not size_bytes or len(data) < header:
        return None
    unknown = (1 << 7 * size_bytes) - 1
    content = int.from_bytes(data[id_bytes:header], "big") & unknown
    return Element(data[:id_bytes], place + header, None if content == unknown else place + header + content)


def _length(first: bytes, most: int) -> int:
    """Return the length of a variable-length integer, as determined by its first byte; 0 if it is invalid."""
    length = 9 - first[0].bit_length() if first and first[0] else 0
    return length if length <= most else 0
