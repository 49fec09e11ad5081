"""The pictures of an indexed video file, with as little decoding as the order in which they are asked for allows.

Key frames cut the file into segments that decode on their own. In each segment there is at most one cursor; it stays
where the last picture asked for came out, and leaves when nothing that is expected lies before it. With every position
expected, no picture is decoded twice and all reads together are at most one pass over the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ...errors import FrameError
from .demuxer import Demuxer
from .ffmpeg import HINT
from .packet_index import VideoIndex
from .segment_decoder import DecodeFailure, Picture, SegmentDecoder

# Opening a file a second time and seeking takes as long as decoding this many pictures: 1.4 to 1.8 ms against 0.4 to
# 0.7 ms a picture for 340x256 clips in MP4, 11 against 3.6 ms at 1080p. So a cursor this near goes on instead.
REOPEN_COST_FRAMES = 4


class SeekingReader:
    """Decodes what is asked for, by several cursors; memory is one decoder a segment in which pictures are expected."""

    def __init__(self, path: Path, index: VideoIndex, packets: Demuxer) -> None:
        """`packets` is the container that the index was read from, which the first cursor takes over."""
        self.path, self._index = path, index
        self._unused: Demuxer | None = packets
        self._decoders: list[SegmentDecoder] = []
        self._idle: SegmentDecoder | None = None  # open, to be moved to where it is needed
        self._decoded = 0  # by cursors that are closed
        self._planned: set[int] = set()
        self._keys = self._entries = index.keys

    def __len__(self) -> int:
        return len(self._index)

    @property
    def decoded(self) -> int:
        """Pictures decoded so far; see `SegmentDecoder.decoded`."""
        return self._decoded + sum(decoder.decoded for decoder in self._open())

    def plan(self, positions: Collection[int]) -> None:
        """Begin to decode only where it serves all of these positions."""
        self._planned = set(positions)
        self._entries = tuple(key for key in self._index.entries(self._planned) if key in self._keys)

    def steps(self, target: int, wanted: Callable[[int], bool]) -> Iterator[list[Picture]]:
        """Pictures with their positions, packet by packet, until the caller has what it wants.

        Raises:
            FrameError: the target cannot be decoded.
        """
        if target not in self._planned:
            self.plan(self._planned | {target})
        while True:
            decoder = self._decoder_for(target)
            try:
                while True:
                    yield decoder.step(self._entries, wanted)
            except DecodeFailure as damage:
                if decoder.start == self._index.keys[0]:
                    raise FrameError(f"{self.path}: {damage}", f"frame {target} cannot be had: {HINT}") from damage
            # The damage may come from beginning at a picture that only calls itself a key frame. So begin where
            # decoding the whole file begins; this costs one pass more, for files that are damaged or out of order.
            self.close()
            self._keys = self._entries = self._index.keys[:1]

    def release(self, expected: Collection[int], spare: bool) -> None:
        """Close the cursors that lead to none of the expected positions.

        One stays open if another segment needs one, or if `spare`.
        """
        leading = [self._decoder_before(position) for position in expected]
        for decoder in [decoder for decoder in self._decoders if decoder not in leading]:
            self._decoders.remove(decoder)
            if self._idle is None and (spare or None in leading):
                self._idle = decoder
            else:
                self._close_decoder(decoder)
        if self._idle and not spare and None not in leading:
            self._close_decoder(self._idle)
            self._idle = None

    def close(self) -> None:
        """Close the file, as often as it is open."""
        for decoder in self._open():
            self._close_decoder(decoder)
        self._decoders, self._idle = [], None
        if self._unused:
            self._unused.close()
            self._unused = None

    def _open(self) -> list[SegmentDecoder]:
        return [*self._decoders, *([self._idle] if self._idle else [])]

    def _close_decoder(self, decoder: SegmentDecoder) -> None:
        decoder.close()
        self._decoded += decoder.decoded

    def _entry(self, order: int) -> int:
        return self._entries[bisect_right(self._entries, order) - 1]

    def _decoder_before(self, position: int) -> SegmentDecoder | None:
        """The cursor that is before the position in its segment, the nearest of several."""
        entry = self._entry(self._index.order_of[position])
        able = [
            decoder
            for decoder in self._decoders
            if decoder.will_give(position) or (decoder.can_reach(position) and decoder.next >= entry)
        ]
        return max(able, key=lambda decoder: decoder.next, default=None)

    def _decoder_for(self, position: int) -> SegmentDecoder:
        entry = self._entry(self._index.order_of[position])
        decoder = self._decoder_before(position) or self._idle or self._decoder_close_to(entry)
        if decoder is None:
            packets = self._unused or Demuxer.open(self.path, self._index)
            self._unused = None
            decoder = SegmentDecoder(self._index, packets, entry)
            self._decoders.append(decoder)
        elif decoder is self._idle:
            decoder.enter(entry)
            self._idle = None
            self._decoders.append(decoder)
        return decoder

    def _decoder_close_to(self, entry: int) -> SegmentDecoder | None:
        """A cursor from which going on to the segment's beginning is cheaper than opening the file again."""
        near = [decoder for decoder in self._decoders if 0 <= entry - decoder.next <= REOPEN_COST_FRAMES]
        return max(near, key=lambda decoder: decoder.next, default=None)
