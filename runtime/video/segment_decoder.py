"""A decoder that stands before one packet of a video file's index and goes forward packet by packet.

Invariant: a picture that comes out is the one that decoding the whole file gives at its position. Whatever speaks
against that (an error, a picture flagged as damaged, a picture that should have come and did not) is the cursor's
damage, and after it nothing comes out any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from .demuxer import Demuxer
from .packet_index import VideoIndex

if TYPE_CHECKING:
    from av import VideoFrame

Picture = tuple[int, "VideoFrame"]


class DecodeFailure(Exception):  # noqa: N818 - not always an error: where decoding began may be at fault
    """The pictures from here on cannot be had, for the reason given."""


class SegmentDecoder:
    """Decodes forward from one key frame to another.

    Attributes:
        start: the key frame (number of its packet) at which decoding began.
        next: the packet that is fed next; `start` if nothing was fed yet.
    """

    def __init__(self, index: VideoIndex, demuxer: Demuxer, start: int) -> None:
        """Stand before key frame `start`.

        Raises:
            FrameError: it is not there.
        """
        self._index, self._demuxer = index, demuxer
        self._out = self._unseen = 0
        self._begin(start)
        demuxer.enter(start)

    def enter(self, key: int) -> None:
        """Give up the present place and stand before another key frame.

        Raises:
            FrameError: it is not there.
        """
        self._finish()
        self._demuxer.enter(key)
        self._begin(key)

    def close(self) -> None:
        """Close the file; `decoded` stays, and is exact."""
        self._finish()
        self._demuxer.close()

    @property
    def decoded(self) -> int:
        """Pictures that the decoder has worked on, never too few.

        Of the pictures that the decoder may have left out those count that it could still be holding back to sort them;
        they are taken off when a later one comes out.
        """
        return self._out + self._unseen + len(self._pending)

    def will_give(self, position: int) -> bool:
        """Whether the picture is decoded already and about to come out."""
        return self._pending.get(position, False)

    def can_reach(self, position: int) -> bool:
        """Whether the picture comes out if this cursor goes on far enough."""
        order = self._index.order_of[position]
        return self.next <= order and self._index.stamps[self.start] <= self._index.stamps[order]

    def step(self, entries: Collection[int], wanted: Callable[[int], bool]) -> list[Picture]:
        """Feed one packet, or begin anew at one of `entries`; the pictures that come out, in presentation order.

        Where the codec tells which pictures no other needs, those of them that are not `wanted` are left out.

        Raises:
            DecodeFailure: nothing more comes out.
            FrameError: the file cannot be read on.
        """
        if self._failure:
            raise DecodeFailure(self._failure)
        ended = self.next == len(self._index.stamps)
        if self.next > self.start and (ended or self.next in entries):
            return self._finish()
        if ended:
            raise DecodeFailure("the file ends")
        return self._with_positions(self._feed(wanted))

    def _begin(self, key: int) -> None:
        self.start = self.next = key
        # fed and not out yet, with whether it has to come (the decoder may leave others out)
        self._pending: dict[int, bool] = {}
        self._failure: str | None = None
        if self._demuxer.codec.is_open:
            self._demuxer.codec.flush_buffers()

    def _finish(self) -> list[Picture]:
        """All that is in the decoder, which then begins anew."""
        pictures = self._with_positions(self._drain())
        missing = [position for position, due in self._pending.items() if due]
        damage = self._failure or (f"frame {min(missing)} does not decode" if missing else None)
        self._begin(self.next)
        self._failure = damage
        return pictures

    def _feed(self, wanted: Callable[[int], bool]) -> list[VideoFrame]:
        from av.error import FFmpegError

        packet = self._demuxer.take(self.next)
        position = self._prepare_packet(wanted)
        self.next += 1
        try:
            return self._demuxer.codec.decode(packet)
        except FFmpegError as error:
            where = "" if position is None else f" at frame {position}"
            self._failure = f"decoding failed{where}: {error.strerror}"
            if position is not None and self._pending.pop(position, None) is not None:
                self._unseen += 1
            return self._drain()  # what was fed before is whole

    def _prepare_packet(self, wanted: Callable[[int], bool]) -> int | None:
        """Set the decoder up for the next packet, and note what it does with it; the position of its picture."""
        position, skips = self._index.positions[self.next], self._index.skips
        leading = self._index.stamps[self.next] < self._index.stamps[self.start]
        needed = position is not None and not leading and wanted(position)
        if skips:
            self._demuxer.codec.skip_frame = "DEFAULT" if needed else "NONREF"
        if position is None or leading:  # never shown, or broken because it needs what came before the start
            self._unseen += 1
        else:
            self._pending[position] = needed or not skips
        return position

    def _drain(self) -> list[VideoFrame]:
        from av.error import FFmpegError

        if not self._demuxer.codec.is_open:  # nothing was ever fed
            return []
        try:
            return self._demuxer.codec.decode(None)
        except FFmpegError as error:
            self._failure = self._failure or f"decoding failed: {error.strerror}"
            return []

    def _with_positions(self, frames: list[VideoFrame]) -> list[Picture]:
        """The frames with their positions, up to the first that is not as it should be."""
        pictures = []
        for frame in frames:
            order = None if frame.pts is None else self._index.order_at.get(frame.pts)
            position = None if order is None else self._index.positions[order]
            if position is None or position not in self._pending:
                continue  # a broken one from before the start, or that of the packet that failed
            fault = self._check_frame(position, frame)
            if fault:
                self._failure = self._failure or fault
                break
            pictures.append((position, frame))
        return pictures

    def _check_frame(self, position: int, frame: VideoFrame) -> str | None:
        """Count the picture as out; what is wrong with it, or with those that should have come before it."""
        from av.video.frame import PictureType

        first = self._index.positions[self.start]
        begins = first in self._pending
        missing = [other for other, due in self._pending.items() if due and other < position]
        self._pending = {other: due for other, due in self._pending.items() if other > position}
        self._out += 1
        if frame.is_corrupt:
            return f"frame {position} is damaged"
        if missing:
            return f"frame {min(missing)} does not decode"
        # files call pictures key frames from which decoding cannot begin (gradual refresh)
        if begins and (position != first or frame.pict_type != PictureType.I):
            return f"frame {first} is no key frame"
        return None
