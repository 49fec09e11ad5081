"""HEVC messages that orient more than one frame.

FFmpeg's HEVC decoder applies a display orientation message to all later frames until another message cancels it, but
forgets the message when decoding restarts at another key frame. (In H.264, a message affects only its own frame.)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_FIRST_NON_SLICE, _PREFIX_SEI = 32, 39  # types of NAL units
_DISPLAY_ORIENTATION = 47  # type of an SEI message
_LENGTH_SIZE_AT = 21  # in the decoder configuration in MP4 and Matroska


def sets_orientation(packet: Packet[VideoStream]) -> bool:
    """Return whether a packet in an MP4 or Matroska file sets the display orientation of its own and later frames."""
    context = packet.stream.codec_context
    if context.name != "hevc" or not packet.size:
        return False
    configuration = context.extradata or b""
    length_size = (configuration[_LENGTH_SIZE_AT] & 3) + 1 if len(configuration) > _LENGTH_SIZE_AT else 4
    units = takewhile(lambda unit: _type(unit) >= _FIRST_NON_SLICE, _units(memoryview(packet), length_size))
    return any(_DISPLAY_ORIENTATION in _messages(unit) for unit in units if _type(unit) == _PREFIX_SEI)


def _units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    """Yield the non-empty NAL units, each of which is preceded by its length."""
    start = length_size
    while start < len(data):
        end = start + int.from_bytes(data[start - length_size : start], "big")
        if end > start:
            yield data[start:end]
        start = end + length_size


def _type(unit: memoryview) -> int:
    return unit[0] >> 1 & 0x3F


def _messages(unit: memoryview) -> Iterator[int]:
    """Yield the types of the messages in an SEI unit."""
    data = iter(bytes(unit[2:]).replace(b"\0\0\3", b"\0\0").rstrip(b"\x80"))
    while (kind := _number(data)) is not None:
        yield kind
        for _ in range(_number(data) or 0):
            next(data, None)


def _number(data: Iterator[int]) -> int | None:
    """Return a number stored as a sum of bytes, all but the last of them 255; None at the end of the data."""
    total = 0
    for byte in data:
        total += byte
        if byte < 255:
            return total
    return None
