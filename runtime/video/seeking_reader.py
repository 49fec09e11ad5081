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
from .demuxer import Packets
from .ffmpeg import HINT
from .packet_index import VideoIndex
from .segment_decoder import Cursor, Damage, Picture

# Opening a file a second time and seeking takes as long as decoding this many pictures: 1.4 to 1.8 ms against 0.4 to
# 0.7 ms a picture for 340x256 clips in MP4, 11 against 3.6 ms at 1080p. So a cursor this near goes on instead.
OPENING_PICTURES = 4


class SeekingWalk:
    """Decodes what is asked for, by several cursors; memory is one decoder a segment in which pictures are expected."""

    def __init__(self, path: Path, index: VideoIndex, packets: Packets) -> None:
        """`packets` is the container that the index was read from, which the first cursor takes over."""
        self.path, self._index = path, index
        self._unused: Packets | None = packets
        self._cursors: list[Cursor] = []
        self._idle: Cursor | None = None  # open, to be moved to where it is needed
        self._decoded = 0  # by cursors that are closed
        self._planned: set[int] = set()
        self._keys = self._entries = index.keys

    def __len__(self) -> int:
        return len(self._index)

    @property
    def decoded(self) -> int:
        """Pictures decoded so far; see `Cursor.decoded`."""
        return self._decoded + sum(cursor.decoded for cursor in self._open())

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
            cursor = self._cursor_for(target)
            try:
                while True:
                    yield cursor.step(self._entries, wanted)
            except Damage as damage:
                if cursor.start == self._index.keys[0]:
                    raise FrameError(f"{self.path}: {damage}", f"frame {target} cannot be had: {HINT}") from damage
            # The damage may come from beginning at a picture that only calls itself a key frame. So begin where
            # decoding the whole file begins; this costs one pass more, for files that are damaged or out of order.
            self.close()
            self._keys = self._entries = self._index.keys[:1]

    def release(self, expected: Collection[int], spare: bool) -> None:
        """Close the cursors that lead to none of the expected positions.

        One stays open if another segment needs one, or if `spare`.
        """
        leading = [self._standing(position) for position in expected]
        for cursor in [cursor for cursor in self._cursors if cursor not in leading]:
            self._cursors.remove(cursor)
            if self._idle is None and (spare or None in leading):
                self._idle = cursor
            else:
                self._shut(cursor)
        if self._idle and not spare and None not in leading:
            self._shut(self._idle)
            self._idle = None

    def close(self) -> None:
        """Close the file, as often as it is open."""
        for cursor in self._open():
            self._shut(cursor)
        self._cursors, self._idle = [], None
        if self._unused:
            self._unused.close()
            self._unused = None

    def _open(self) -> list[Cursor]:
        return [*self._cursors, *([self._idle] if self._idle else [])]

    def _shut(self, cursor: Cursor) -> None:
        cursor.close()
        self._decoded += cursor.decoded

    def _entry(self, order: int) -> int:
        return self._entries[bisect_right(self._entries, order) - 1]

    def _standing(self, position: int) -> Cursor | None:
        """The cursor that is before the position in its segment, the nearest of several."""
        entry = self._entry(self._index.order_of[position])
        able = [
            cursor
            for cursor in self._cursors
            if cursor.will_give(position) or (cursor.can_reach(position) and cursor.next >= entry)
        ]
        return max(able, key=lambda cursor: cursor.next, default=None)

    def _cursor_for(self, position: int) -> Cursor:
        entry = self._entry(self._index.order_of[position])
        cursor = self._standing(position) or self._idle or self._near(entry)
        if cursor is None:
            packets = self._unused or Packets.open(self.path, self._index)
            self._unused = None
            cursor = Cursor(self._index, packets, entry)
            self._cursors.append(cursor)
        elif cursor is self._idle:
            cursor.enter(entry)
            self._idle = None
            self._cursors.append(cursor)
        return cursor

    def _near(self, entry: int) -> Cursor | None:
        """A cursor from which going on to the segment's beginning is cheaper than opening the file again."""
        near = [cursor for cursor in self._cursors if 0 <= entry - cursor.next <= OPENING_PICTURES]
        return max(near, key=lambda cursor: cursor.next, default=None)
