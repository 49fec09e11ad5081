"""Decode the video stream that the ffmpeg program would choose, with the time at which it would show each frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ....runtime.video.container import ffmpeg_score, open_video, video_streams
from .timing import FrameTimes, PacketTimes, StreamClock

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS
_TIMES_MAY_JUMP = 512  # AVFMT_TS_DISCONT


class TimedFrame(NamedTuple):
    """A decoded frame and the time at which ffmpeg shows it, in seconds from the start; None if it has no timestamp."""

    frame: VideoFrame
    time_s: Fraction | None


@contextmanager
def open_as_ffmpeg(path: Path) -> Iterator[FfmpegDecoder]:
    """Yield a decoder for the stream that ffmpeg chooses; close the file on exit.

    Raises:
        FrameError: the file cannot be opened, or has no video stream.
    """
    with open_video(path) as container:
        yield FfmpegDecoder(container, max(video_streams(container, path), key=ffmpeg_score))


class FfmpegDecoder:
    """Decodes a video once, in the decoder's output order. As in ffmpeg, undecodable packets are skipped.

    Attributes:
        duration_s: the nominal duration of a frame in seconds, 0 if unknown.
        only_stream: whether the file has a single stream.
        failure: the first error while decoding, or None.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        container.flags &= ~_GENERATE_PTS  # PyAV fills in missing pts; ffmpeg does not
        self._container, self._stream = container, stream
        self.duration_s = 1 / stream.guessed_rate if stream.guessed_rate else Fraction(0)
        self.only_stream = len(container.streams) == 1
        self.failure: str | None = None
        self._count = 0

    def __iter__(self) -> Iterator[TimedFrame]:
        clock = _clock(self._container, self._stream)
        for frame, time in self._timed(PacketTimes(clock), FrameTimes()):
            self._count += 1
            yield TimedFrame(frame, None if time is None else time * clock.time_base)

    def _timed(self, packet_times: PacketTimes, frame_times: FrameTimes) -> Iterator[tuple[VideoFrame, int | None]]:
        for packet in self._packets():
            packet.pts, dts = packet_times.correct(packet.pts, packet.dts, packet.duration or 0)
            packet.dts = dts
            # an empty packet would end decoding
            for frame in self._decode(packet) if packet.size else ():
                time = frame_times.best(frame.pts, dts)
                if time is not None:
                    packet_times.shown(time, frame.duration or packet.duration or 0)
                yield frame, time
        predicted: list[int] = []
        for frame in self._decode(None):
            predicted.append(packet_times.drained())
            time = frame_times.best(frame.pts, None)
            yield frame, predicted.pop(0) if time is None else time

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        from av.error import FFmpegError

        try:
            for packet in self._container.demux(self._stream):
                if packet.size or packet.dts is not None:  # not the end
                    yield packet
        except FFmpegError as error:
            self._fail(error.strerror)

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        from av.error import FFmpegError

        try:
            return self._stream.codec_context.decode(packet)
        except FFmpegError as error:
            self._fail(error.strerror)
            return []

    def _fail(self, reason: str | None) -> None:
        self.failure = self.failure or f"decoding failed after {self._count} frames: {reason}"


def _clock(container: InputContainer, stream: VideoStream) -> StreamClock:
    return StreamClock(
        time_base=Fraction(stream.time_base or 1),
        format_name=container.format.name,
        jumps=bool(container.format.flags & _TIMES_MAY_JUMP),
        start_us=container.start_time,
        stream_start=stream.start_time,
        rate=Fraction(stream.average_rate or 0),
        delay=stream.codec_context.reorder_depth,
    )
