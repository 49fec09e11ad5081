"""A decoder that stands before one packet of a video file's index and goes forward packet by packet.

Invariant: a picture that comes out is the one that decoding the whole file gives at its position. Whatever speaks
against that (an error, a picture flagged as damaged, a picture that should have come and did not) is the cursor's
damage, and after it nothing comes out any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from .demuxer import Packets
from .packet_index import VideoIndex

if TYPE_CHECKING:
    from av import VideoFrame

Picture = tuple[int, "VideoFrame"]


class Damage(Exception):  # noqa: N818 - not always an error: where decoding began may be at fault
    """The pictures from here on cannot be had, for the reason given."""


class Cursor:
    """Decodes forward from one key frame to another.

    Attributes:
        start: the key frame (number of its packet) at which decoding began.
        next: the packet that is fed next; `start` if nothing was fed yet.
    """

    def __init__(self, index: VideoIndex, packets: Packets, start: int) -> None:
        """Stand before key frame `start`.

        Raises:
            FrameError: it is not there.
        """
        self._index, self._packets = index, packets
        self._out = self._unseen = 0
        self._begin(start)
        packets.enter(start)

    def enter(self, key: int) -> None:
        """Give up the present place and stand before another key frame.

        Raises:
            FrameError: it is not there.
        """
        self._finish()
        self._packets.enter(key)
        self._begin(key)

    def close(self) -> None:
        """Close the file; `decoded` stays, and is exact."""
        self._finish()
        self._packets.close()

    @property
    def decoded(self) -> int:
        """Pictures that the decoder has worked on, never too few.

        Of the pictures that the decoder may have left out those count that it could still be holding back to sort them;
        they are taken off when a later one comes out.
        """
        return self._out + self._unseen + len(self._inside)

    def will_give(self, position: int) -> bool:
        """Whether the picture is decoded already and about to come out."""
        return self._inside.get(position, False)

    def can_reach(self, position: int) -> bool:
        """Whether the picture comes out if this cursor goes on far enough."""
        order = self._index.order_of[position]
        return self.next <= order and self._index.stamps[self.start] <= self._index.stamps[order]

    def step(self, entries: Collection[int], wanted: Callable[[int], bool]) -> list[Picture]:
        """Feed one packet, or begin anew at one of `entries`; the pictures that come out, in presentation order.

        Where the codec tells which pictures no other needs, those of them that are not `wanted` are left out.

        Raises:
            Damage: nothing more comes out.
            FrameError: the file cannot be read on.
        """
        if self._damage:
            raise Damage(self._damage)
        ended = self.next == len(self._index.stamps)
        if self.next > self.start and (ended or self.next in entries):
            return self._finish()
        if ended:
            raise Damage("the file ends")
        return self._placed(self._feed(wanted))

    def _begin(self, key: int) -> None:
        self.start = self.next = key
        # fed and not out yet, with whether it has to come (the decoder may leave others out)
        self._inside: dict[int, bool] = {}
        self._damage: str | None = None
        if self._packets.codec.is_open:
            self._packets.codec.flush_buffers()

    def _finish(self) -> list[Picture]:
        """All that is in the decoder, which then begins anew."""
        pictures = self._placed(self._drained())
        missing = [position for position, due in self._inside.items() if due]
        damage = self._damage or (f"frame {min(missing)} does not decode" if missing else None)
        self._begin(self.next)
        self._damage = damage
        return pictures

    def _feed(self, wanted: Callable[[int], bool]) -> list[VideoFrame]:
        from av.error import FFmpegError

        packet = self._packets.take(self.next)
        position = self._note(wanted)
        self.next += 1
        try:
            return self._packets.codec.decode(packet)
        except FFmpegError as error:
            where = "" if position is None else f" at frame {position}"
            self._damage = f"decoding failed{where}: {error.strerror}"
            if position is not None and self._inside.pop(position, None) is not None:
                self._unseen += 1
            return self._drained()  # what was fed before is whole

    def _note(self, wanted: Callable[[int], bool]) -> int | None:
        """Set the decoder up for the next packet, and note what it does with it; the position of its picture."""
        position, skips = self._index.positions[self.next], self._index.skips
        leading = self._index.stamps[self.next] < self._index.stamps[self.start]
        needed = position is not None and not leading and wanted(position)
        if skips:
            self._packets.codec.skip_frame = "DEFAULT" if needed else "NONREF"
        if position is None or leading:  # never shown, or broken because it needs what came before the start
            self._unseen += 1
        else:
            self._inside[position] = needed or not skips
        return position

    def _drained(self) -> list[VideoFrame]:
        from av.error import FFmpegError

        if not self._packets.codec.is_open:  # nothing was ever fed
            return []
        try:
            return self._packets.codec.decode(None)
        except FFmpegError as error:
            self._damage = self._damage or f"decoding failed: {error.strerror}"
            return []

    def _placed(self, frames: list[VideoFrame]) -> list[Picture]:
        """The frames with their positions, up to the first that is not as it should be."""
        pictures = []
        for frame in frames:
            order = None if frame.pts is None else self._index.order_at.get(frame.pts)
            position = None if order is None else self._index.positions[order]
            if position is None or position not in self._inside:
                continue  # a broken one from before the start, or that of the packet that failed
            fault = self._fault(position, frame)
            if fault:
                self._damage = self._damage or fault
                break
            pictures.append((position, frame))
        return pictures

    def _fault(self, position: int, frame: VideoFrame) -> str | None:
        """Count the picture as out; what is wrong with it, or with those that should have come before it."""
        from av.video.frame import PictureType

        first = self._index.positions[self.start]
        begins = first in self._inside
        missing = [other for other, due in self._inside.items() if due and other < position]
        self._inside = {other: due for other, due in self._inside.items() if other > position}
        self._out += 1
        if frame.is_corrupt:
            return f"frame {position} is damaged"
        if missing:
            return f"frame {min(missing)} does not decode"
        # files call pictures key frames from which decoding cannot begin (gradual refresh)
        if begins and (position != first or frame.pict_type != PictureType.I):
            return f"frame {first} is no key frame"
        return None
