"""Packet index of a video file: the positions of its frames, derived from packet headers alone, without decoding.

The position of a frame is the rank of its presentation time. This requires every packet to be exactly one frame with a
unique presentation time, so only container formats and codecs known to guarantee this are indexed. In all other files,
frames must be counted by decoding.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .hevc_orientation import sets_orientation
from .packets import read_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Not AVI (no presentation times), nor transport streams and FLV (a packet may be a field or part of a frame).
_CONTAINERS = ("mov", "matroska")
# Not VP8 (packets of hidden frames), nor MPEG-4 part 2 (packets without a frame).
_CODECS = ("h264", "hevc", "vp9", "av1", "libdav1d")
# Codecs in which no frame depends on a non-reference frame. In HEVC, this holds only within a temporal layer.
_SKIPS_NON_REFERENCE = ("h264",)
_PROGRESSIVE = (0, 1)  # AVFieldOrder: unknown and progressive; a packet of an interlaced file may be half a frame


@dataclass(frozen=True)
class VideoIndex:
    """The packets of a video stream, in file order (decoding order).

    Attributes:
        stamps: presentation time of each packet, in units of the stream's time base; all are distinct.
        positions: position of each packet's frame in presentation order; None if the frame is never shown (edit lists).
        keys: indexes of the packets that are key frames, in ascending order; the first packet is a key frame.
        skips: whether the decoder can skip non-reference frames.
    """

    stamps: tuple[int, ...]
    positions: tuple[int | None, ...]
    keys: tuple[int, ...]
    skips: bool

    @cached_property
    def order_of(self) -> dict[int, int]:
        """Return the index of the packet at each position."""
        return {position: order for order, position in enumerate(self.positions) if position is not None}

    @cached_property
    def order_at(self) -> dict[int, int]:
        """Return the index of the packet at each presentation time."""
        return {stamp: order for order, stamp in enumerate(self.stamps)}

    def __len__(self) -> int:
        """Return the number of frames shown."""
        return len(self.order_of)

    def entries(self, wanted: Iterable[int]) -> tuple[int, ...]:
        """Return, in ascending order, the key frames at which decoding can restart with each wanted frame decoded once.

        In an open GOP, leading frames follow a key frame in the file, are shown before it, and depend on frames that
        precede it. If a leading frame is wanted, its key frame is not a seek point: the key frame would be decoded
        twice, once for the leading frame and once for the frames after it.
        """
        blocked = set()
        for order in (self.order_of[position] for position in wanted):
            place = bisect_left(self.keys, order) - 1
            while place > 0 and self.stamps[self.keys[place]] > self.stamps[order]:
                blocked.add(self.keys[place])
                place -= 1
        return tuple(key for key in self.keys if key not in blocked)


def read_index(container: InputContainer, stream: VideoStream, path: Path) -> VideoIndex | None:
    """Read the whole file and return the stream's index, or None if presentation times do not identify its frames.

    Raises:
        FrameError: the packets never end.
    """
    from av.error import FFmpegError

    codec = stream.codec_context
    known = any(name in container.format.name.split(",") for name in _CONTAINERS) and codec.name in _CODECS
    # PyAV has reported the field order since about version 16
    if not known or getattr(codec, "field_order", 0) not in _PROGRESSIVE:
        return None
    try:
        packets = [_Header.of(packet) for packet in read_packets(container, stream, path)]
    except FFmpegError:
        return None
    # the last packet is empty and merely marks the end of the file
    return _index(packets[:-1], codec.name in _SKIPS_NON_REFERENCE)


@dataclass(frozen=True)
class _Header:
    stamp: int | None
    size: int
    key: bool
    shown: bool
    orients: bool

    @classmethod
    def of(cls, packet: Packet[VideoStream]) -> _Header:
        return cls(packet.pts, packet.size, packet.is_keyframe, not packet.is_discard, sets_orientation(packet))


def _index(packets: list[_Header], skips: bool) -> VideoIndex | None:
    stamps = tuple(packet.stamp for packet in packets if packet.stamp is not None and packet.size)
    if len(set(stamps)) < len(packets) or not packets or not packets[0].key:
        return None
    ranked = sorted(stamp for stamp, packet in zip(stamps, packets) if packet.shown)
    if not ranked or ranked[0] < stamps[0]:  # shown before the first key frame: a decoder may drop these frames
        return None
    if any(packet.orients for packet in packets):  # frames would depend on the key frame at which decoding starts
        return None
    rank = {stamp: position for position, stamp in enumerate(ranked)}
    positions = tuple(rank.get(stamp) for stamp in stamps)
    return VideoIndex(stamps, positions, tuple(order for order, packet in enumerate(packets) if packet.key), skips)
