"""Forward decoder positioned at a packet in a video file's index.

Invariant: every frame returned equals the one that decoding the whole file would yield at that position. Any violation
(a decoding error, a frame flagged as corrupt, a missing frame) marks the decoder as failed; it then returns no more
frames.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from .demuxer import Demuxer
from .packet_index import VideoIndex

if TYPE_CHECKING:
    from av import VideoFrame

PositionedFrame = tuple[int, "VideoFrame"]


class DecodeFailure(Exception):  # noqa: N818 - not always an error: the seek point may be the cause
    """Raised if later frames cannot be decoded from the current seek point; the message gives the reason."""


class SegmentDecoder:
    """Decodes forward from one key frame to another.

    Attributes:
        start: packet index of the key frame at which decoding started.
        next: index of the next packet to decode; `start` if none has been decoded yet.
    """

    def __init__(self, index: VideoIndex, demuxer: Demuxer, start: int) -> None:
        """Seek to key frame `start`.

        Raises:
            FrameError: the key frame was not found.
        """
        self._index, self._demuxer = index, demuxer
        self._out = self._unseen = 0
        self._begin(start)
        demuxer.enter(start)

    def enter(self, key: int) -> None:
        """Discard the current position and seek to another key frame.

        Raises:
            FrameError: the key frame was not found.
        """
        self._finish()
        self._demuxer.enter(key)
        self._begin(key)

    def close(self) -> None:
        """Close the file; `decoded` remains available and is exact."""
        self._finish()
        self._demuxer.close()

    @property
    def decoded(self) -> int:
        """Upper bound on the number of frames that the decoder has processed.

        It includes skippable frames that the decoder may still be holding for reordering; they are subtracted once a
        later frame is returned.
        """
        return self._out + self._unseen + len(self._pending)

    def will_give(self, position: int) -> bool:
        """Return whether the frame is required and has been submitted to the decoder but not yet returned."""
        return self._pending.get(position, False)

    def can_reach(self, position: int) -> bool:
        """Return whether the frame can be reached by continuing to decode from here."""
        order = self._index.order_of[position]
        return self.next <= order and self._index.stamps[self.start] <= self._index.stamps[order]

    def step(self, entries: Collection[int], wanted: Callable[[int], bool]) -> list[PositionedFrame]:
        """Decode one packet, or restart at one of `entries`; return the new frames in presentation order.

        If the codec marks non-reference frames, the ones that are not `wanted` are skipped.

        Raises:
            DecodeFailure: no more frames can be decoded.
            FrameError: the file cannot be read any further.
        """
        if self._failure:
            raise DecodeFailure(self._failure)
        ended = self.next == len(self._index.stamps)
        if self.next > self.start and (ended or self.next in entries):
            return self._finish()
        if ended:
            raise DecodeFailure("the file has ended")
        return self._with_positions(self._feed(wanted))

    def _begin(self, key: int) -> None:
        self.start = self.next = key
        # submitted but not yet returned; True if the frame is required (the decoder may skip the others)
        self._pending: dict[int, bool] = {}
        self._failure: str | None = None
        if self._demuxer.codec.is_open:
            self._demuxer.codec.flush_buffers()

    def _finish(self) -> list[PositionedFrame]:
        """Return all frames that are still in the decoder, and reset it."""
        decoded = self._with_positions(self._drain())
        missing = [position for position, due in self._pending.items() if due]
        failure = self._failure or (f"frame {min(missing)} cannot be decoded" if missing else None)
        self._begin(self.next)
        self._failure = failure
        return decoded

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
            return self._drain()  # the frames of earlier packets are intact

    def _prepare_packet(self, wanted: Callable[[int], bool]) -> int | None:
        """Configure the decoder for the next packet, record the expected frame, and return its position."""
        position, skips = self._index.positions[self.next], self._index.skips
        leading = self._index.stamps[self.next] < self._index.stamps[self.start]
        needed = position is not None and not leading and wanted(position)
        if skips:
            self._demuxer.codec.skip_frame = "DEFAULT" if needed else "NONREF"
        if position is None or leading:  # never shown, or corrupt because it depends on frames before the start
            self._unseen += 1
        else:
            self._pending[position] = needed or not skips
        return position

    def _drain(self) -> list[VideoFrame]:
        from av.error import FFmpegError

        if not self._demuxer.codec.is_open:  # no packets have been decoded
            return []
        try:
            return self._demuxer.codec.decode(None)
        except FFmpegError as error:
            self._failure = self._failure or f"decoding failed: {error.strerror}"
            return []

    def _with_positions(self, frames: list[VideoFrame]) -> list[PositionedFrame]:
        """Return the frames with their positions, up to the first invalid one."""
        decoded = []
        for frame in frames:
            order = None if frame.pts is None else self._index.order_at.get(frame.pts)
            position = None if order is None else self._index.positions[order]
            if position is None or position not in self._pending:
                continue  # a corrupt frame from before the start, or the frame of a failed packet
            fault = self._check_frame(position, frame)
            if fault:
                self._failure = self._failure or fault
                break
            decoded.append((position, frame))
        return decoded

    def _check_frame(self, position: int, frame: VideoFrame) -> str | None:
        """Count the frame as returned; return a description of an error at or before it, or None."""
        from av.video.frame import PictureType

        first = self._index.positions[self.start]
        begins = first in self._pending
        missing = [other for other, due in self._pending.items() if due and other < position]
        self._pending = {other: due for other, due in self._pending.items() if other > position}
        self._out += 1
        if frame.is_corrupt:
            return f"frame {position} is corrupt"
        if missing:
            return f"frame {min(missing)} cannot be decoded"
        # some files mark frames as key frames although decoding cannot start there (gradual refresh)
        if begins and (position != first or frame.pict_type != PictureType.I):
            return f"frame {first} is not a key frame"
        return None
