"""FLV: every tag must lie within the file, and the file must be as long as its metadata says.

The metadata counts only if it states both a larger size and a later end than the file has, and if no tag marks the end
of the video, because tools that edit a file may leave either value unchanged.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from .elements import MAX_ELEMENTS, of_bytes, read_at

_VIDEO, _SCRIPT = 9, 18
_END_OF_SEQUENCE = 2  # AVCPacketType
_WITH_PACKET_TYPE = (4, 7, 9, 12)  # codecs: MPEG-4, H.264, and HEVC as stored before enhanced FLV


def shortfall(file: BinaryIO, size: int) -> str | None:
    """Return a clause that says what is missing from the file, or None if its structure shows no sign of truncation."""
    head = read_at(file, 0, 9)
    if head[:3] != b"FLV" or len(head) < 9:
        return None
    place = int(struct.unpack_from(">I", head, 5)[0]) + 4
    metadata, last_ms, gap_ms, ended = b"", 0, 0, False
    for _ in range(MAX_ELEMENTS):
        tag = read_at(file, place, 13)
        kind = tag[0] & 0x1F if tag else 0
        if kind not in (8, _VIDEO, _SCRIPT):
            return _by_metadata(metadata, size, last_ms + gap_ms, ended)
        if len(tag) < 11:
            return of_bytes(size, place + 11)
        length = int.from_bytes(tag[1:4], "big")
        if place + 11 + length > size:
            return of_bytes(size, place + 11 + length)
        if kind == _SCRIPT and not metadata:
            metadata = read_at(file, place + 11, length)
        time_ms = int.from_bytes(tag[7:8] + tag[4:7], "big")
        last_ms, gap_ms = max(last_ms, time_ms), max(gap_ms, time_ms - last_ms)
        ended |= kind == _VIDEO and length >= 2 and _ends_video(tag[11], tag[12])
        place += 11 + length + 4
    return None


def _ends_video(first: int, second: int) -> bool:
    if first & 0x80:  # enhanced FLV: the packet type is in the first byte
        return first & 0x0F == _END_OF_SEQUENCE
    return first & 0x0F in _WITH_PACKET_TYPE and second == _END_OF_SEQUENCE


def _by_metadata(metadata: bytes, size: int, end_ms: int, ended: bool) -> str | None:
    declared, duration_s = _number(metadata, b"filesize"), _number(metadata, b"duration")
    if not ended and declared > size and duration_s * 1000 > end_ms + 1:
        return of_bytes(size, int(declared))
    return None


def _number(metadata: bytes, key: bytes) -> float:
    """Return a number from the metadata (AMF: the key's length and text, type 0, a double); 0 if it is absent."""
    place = metadata.find(struct.pack(">H", len(key)) + key + b"\0")
    start = place + 2 + len(key) + 1
    if place < 0 or start + 8 > len(metadata):
        return 0.0
    value = float(struct.unpack_from(">d", metadata, start)[0])
    return value if 0 <= value < 2**63 else 0.0  # neither NaN nor infinite
