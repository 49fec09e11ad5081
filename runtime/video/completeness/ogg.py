"""Ogg: the last page must lie within the file and end its stream."""

from __future__ import annotations

from typing import BinaryIO

from .elements import of_bytes, read_at

_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_END_OF_STREAM = 4


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    begin = max(0, size - 2 * _MAX_PAGE_BYTES)
    tail = read_at(file, begin, size - begin)
    place = tail.rfind(b"OggS\0")
    if place < 0:
        return None
    page = tail[place:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return "its last page is incomplete"
    end = begin + place + 27 + page[26] + sum(page[27 : 27 + page[26]])
    if end > size:
        return of_bytes(size, end)
    return None if page[5] & _END_OF_STREAM else "its last page does not end the stream"
