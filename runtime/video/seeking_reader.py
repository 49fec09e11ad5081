"""Random-access frame reader for indexed video files that minimizes decoding in whatever order frames are requested.

Key frames divide the file into independently decodable segments. Each segment has at most one decoder, which stays at
the last frame requested and is closed once no more expected frames follow in its segment. If every read is expected, no
frame is decoded twice, and all reads together cost at most one pass over the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ...errors import FrameError
from .container import HINT
from .demuxer import Demuxer
from .packet_index import VideoIndex
from .segment_decoder import DecodeFailure, PositionedFrame, SegmentDecoder

# Reopening a file and seeking takes as long as decoding this many frames: 1.4 to 1.8 ms versus 0.4 to 0.7 ms per frame
# for 340x256 clips in MP4, and 11 versus 3.6 ms at 1080p. A decoder this close therefore simply continues.
REOPEN_COST_FRAMES = 4


class SeekingReader:
    """Decodes requested frames with several decoders, one for each segment in which frames are expected."""

    def __init__(self, path: Path, index: VideoIndex, demuxer: Demuxer) -> None:
        """Take over `demuxer`, from whose container the index was read; the first decoder uses it."""
        self.path, self._index = path, index
        self._unused: Demuxer | None = demuxer
        self._decoders: list[SegmentDecoder] = []
        self._idle: SegmentDecoder | None = None  # still open, so it can be moved to another segment
        self._decoded = 0  # frames decoded by decoders that have been closed
        self._planned: set[int] = set()
        self._keys = self._entries = index.keys

    def __len__(self) -> int:
        return len(self._index)

    @property
    def decoded(self) -> int:
        """Number of frames decoded so far; see `SegmentDecoder.decoded`."""
        return self._decoded + sum(decoder.decoded for decoder in self._open())

    def plan(self, positions: Collection[int]) -> None:
        """Restrict the seek points to those suitable for all of these positions."""
        self._planned = set(positions)
        self._entries = tuple(key for key in self._index.entries(self._planned) if key in self._keys)

    def steps(self, target: int, wanted: Callable[[int], bool]) -> Iterator[list[PositionedFrame]]:
        """Yield frames with their positions, packet by packet; the caller stops at the target.

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
            except DecodeFailure as failure:
                first = self._index.keys[:1]
                # `start` alone is not conclusive, since at the end of the file it is past the last packet
                if decoder.start in first or self._keys == first:
                    hint = f"frame {target} cannot be decoded: {HINT}"
                    raise FrameError(f"{self.path}: {failure}", hint) from failure
            # The cause may be that decoding started at a frame wrongly marked as a key frame. So restart at the
            # beginning of the file, which costs another pass for files that are corrupt or wrongly indexed.
            self.close()
            self._keys = self._entries = self._index.keys[:1]

    def release(self, expected: Collection[int], spare: bool) -> None:
        """Close the decoders from which no expected position can be reached.

        One of them stays open if another segment needs a decoder or if `spare` is true.
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
        """Close every open container for the file."""
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
        """Return the nearest decoder that precedes the position in the same segment."""
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
            demuxer = self._unused or Demuxer.open(self.path, self._index)
            self._unused = None
            decoder = SegmentDecoder(self._index, demuxer, entry)
            self._decoders.append(decoder)
        elif decoder is self._idle:
            decoder.enter(entry)
            self._idle = None
            self._decoders.append(decoder)
        return decoder

    def _decoder_close_to(self, entry: int) -> SegmentDecoder | None:
        """Return a decoder that can reach the segment's start at a lower cost than reopening the file."""
        near = [decoder for decoder in self._decoders if 0 <= entry - decoder.next <= REOPEN_COST_FRAMES]
        return max(near, key=lambda decoder: decoder.next, default=None)
