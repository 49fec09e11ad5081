"""Where the pictures of a video file lie, from its packets' headers alone: nothing is decoded.

The position of a picture is the rank of its presentation time. That is only true where every packet is one picture with
a presentation time of its own, so the kinds of file for which it is known to hold are listed here; for any other there
is no index, and its pictures have to be counted by decoding.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Not AVI (no presentation times), not transport streams and FLV (a field or a part of a picture may be a packet).
_CONTAINERS = ("mov", "matroska")
# Not VP8 (packets of hidden pictures), not MPEG-4 part 2 (packets without a picture).
_CODECS = ("h264", "hevc", "vp9", "av1", "libdav1d")
# Where a non-reference picture is one that no other needs. In HEVC it is one that its own layer does not need.
_SKIPS_NON_REFERENCE = ("h264",)
_MAX_LAST_FRAME_S = 2.0  # how long a last picture may be shown before its file counts as cut off
_PROGRESSIVE = (0, 1)  # AVFieldOrder: unknown and progressive; with fields a packet may be half a picture


@dataclass(frozen=True)
class VideoIndex:
    """The packets of a video stream, in file order (the order of decoding).

    Attributes:
        stamps: a packet's presentation time, in units of the stream; each occurs once.
        positions: the position of its picture in presentation order, None if it is never shown (edit lists).
        keys: packets that are key frames, ascending; the first packet is one.
        skips: whether the decoder can leave out the pictures that no other needs.
    """

    stamps: tuple[int, ...]
    positions: tuple[int | None, ...]
    keys: tuple[int, ...]
    skips: bool

    @cached_property
    def order_of(self) -> dict[int, int]:
        """The packet of each position."""
        return {position: order for order, position in enumerate(self.positions) if position is not None}

    @cached_property
    def order_at(self) -> dict[int, int]:
        """The packet of each presentation time."""
        return {stamp: order for order, stamp in enumerate(self.stamps)}

    def __len__(self) -> int:
        """Pictures that are shown."""
        return len(self.order_of)

    def entries(self, wanted: Iterable[int]) -> tuple[int, ...]:
        """Key frames at which decoding may begin anew so that each wanted position comes out once, whole; ascending.

        In an open group of pictures some follow a key frame in the file that are shown before it and need what came
        before it. If such a picture is wanted, that key frame is no place to begin (its picture would be decoded once
        for this one, once for those after it).
        """
        blocked = set()
        for order in (self.order_of[position] for position in wanted):
            place = bisect_left(self.keys, order) - 1
            while place > 0 and self.stamps[self.keys[place]] > self.stamps[order]:
                blocked.add(self.keys[place])
                place -= 1
        return tuple(key for key in self.keys if key not in blocked)


def read_index(container: InputContainer, stream: VideoStream, path: Path) -> VideoIndex | None:
    """The index of the stream, or None where presentation times do not tell the pictures; reads to the file's end.

    Raises:
        FrameError: the file ends before what its header promises: it was cut off.
    """
    from av.error import FFmpegError

    codec = stream.codec_context
    known = any(name in container.format.name.split(",") for name in _CONTAINERS) and codec.name in _CODECS
    # PyAV tells the order of fields since version 16 or so
    if not known or getattr(codec, "field_order", 0) not in _PROGRESSIVE:
        return None
    try:
        packets = [_Header.of(packet) for packet in container.demux(stream)]
    except FFmpegError:
        return None
    _check_not_truncated(stream, packets[:-1], path)
    return _index(
        packets[:-1], codec.name in _SKIPS_NON_REFERENCE
    )  # the last one is empty: it only says that the file ended


def _check_not_truncated(stream: VideoStream, packets: list[_Header], path: Path) -> None:
    """A demuxer ends a file that was cut off like any other, so what it gave is compared with the header."""
    hint = "copy the file again, or leave the video out"
    if stream.frames > len(packets):  # 0 where the header does not say
        raise FrameError(f"{path} was cut off: {len(packets)} of {stream.frames} frames are there", hint)
    promised_s = _seconds(stream.metadata.get("DURATION", ""))
    last = max((packet.stamp for packet in packets if packet.stamp is not None), default=None)
    if last is not None and promised_s - float(last * (stream.time_base or 0)) > _MAX_LAST_FRAME_S:
        seconds = float(last * (stream.time_base or 0))
        raise FrameError(f"{path} was cut off: {seconds:.1f} of {promised_s:.1f} seconds are there", hint)


def _seconds(tag: str) -> float:
    """The duration of a Matroska stream, written as 00:00:10.333000000; 0 where there is none."""
    try:
        hours, minutes, seconds = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return 0.0


@dataclass(frozen=True)
class _Header:
    stamp: int | None
    size: int
    key: bool
    shown: bool

    @classmethod
    def of(cls, packet: Packet[VideoStream]) -> _Header:
        return cls(packet.pts, packet.size, packet.is_keyframe, not packet.is_discard)


def _index(packets: list[_Header], skips: bool) -> VideoIndex | None:
    stamps = tuple(packet.stamp for packet in packets if packet.stamp is not None and packet.size)
    if len(set(stamps)) < len(packets) or not packets or not packets[0].key:
        return None
    ranked = sorted(stamp for stamp, packet in zip(stamps, packets) if packet.shown)
    if not ranked or ranked[0] < stamps[0]:  # shown before the first key frame: a decoder may leave these out
        return None
    rank = {stamp: position for position, stamp in enumerate(ranked)}
    positions = tuple(rank.get(stamp) for stamp in stamps)
    return VideoIndex(stamps, positions, tuple(order for order, packet in enumerate(packets) if packet.key), skips)
