"""Demuxer for indexed video files: seek to a key frame, then read packets in file order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError
from .container import open_video, video_streams
from .packet_index import VideoIndex
from .packets import read_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


class Demuxer:
    """An open container and the current position in its file; call `enter` before the first `take`.

    Attributes:
        codec: the stream's decoder.
    """

    def __init__(self, path: Path, index: VideoIndex, container: InputContainer, stream: VideoStream) -> None:
        self._path, self._index = path, index
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._ahead: Packet[VideoStream] | None = None
        self._use(container, stream)

    @classmethod
    def open(cls, path: Path, index: VideoIndex) -> Demuxer:
        """Open the file in a new container.

        Raises:
            FrameError: the file can no longer be opened.
        """
        container = open_video(path)
        return cls(path, index, container, video_streams(container, path)[0])

    def enter(self, key: int) -> None:
        """Seek to a key frame.

        Container formats differ in the timestamp that they seek by, so the result of a seek is checked against the
        index.

        Raises:
            FrameError: the key frame was not found.
        """
        from av.error import FFmpegError

        for search in (self._seek, self._reopen):
            try:
                search(self._index.stamps[key])
                if self._skip_to(key):
                    return
            except FFmpegError:
                continue
        raise self._changed()

    def take(self, order: int) -> Packet[VideoStream]:
        """Return the next packet, whose index in file order must be `order`.

        Raises:
            FrameError: the next packet is a different one, the file ends, or the packet cannot be read.
        """
        from av.error import FFmpegError

        try:
            packet = self._ahead or next(self._packets, None)
        except FFmpegError as error:
            raise FrameError(f"cannot read {self._path}: {error.strerror}", "check the disk") from error
        self._ahead = None
        if packet is None or self._order(packet) != order:
            raise self._changed()
        return packet

    def close(self) -> None:
        """Close the file."""
        self._ahead, self._packets = None, iter(())
        self._container.close()

    def _changed(self) -> FrameError:
        return FrameError(f"{self._path} changed while it was being read", "do not modify the file during a run")

    def _use(self, container: InputContainer, stream: VideoStream) -> None:
        from av.codec.context import ThreadType

        self._container, self._stream, self.codec = container, stream, stream.codec_context
        # Use one thread: frame threads (and libdav1d's own threads, which PyAV's default of slice threads allows) each
        # decode one frame ahead, including frames that were not requested.
        self.codec.thread_type, self.codec.thread_count = ThreadType.NONE, 1

    def _seek(self, stamp: int) -> None:
        self._container.seek(stamp, stream=self._stream)
        self._packets = read_packets(self._container, self._stream, self._path)

    def _reopen(self, stamp: int) -> None:  # noqa: ARG002 - restarts from the beginning for any stamp
        self._container.close()
        container = open_video(self._path)
        self._use(container, video_streams(container, self._path)[0])
        self._packets = read_packets(container, self._stream, self._path)

    def _skip_to(self, key: int) -> bool:
        for packet in self._packets:
            order = self._order(packet)
            if order is None or order > key:
                return False
            if order == key:
                self._ahead = packet
                return True
        return False

    def _order(self, packet: Packet[VideoStream]) -> int | None:
        return self._index.order_at.get(packet.pts) if packet.size and packet.pts is not None else None
