"""Decode a video file once, from the first frame to the last.

The choice of stream and the handling of corrupt packets affect predictions, so both are defined here. By default the
first video stream (by index) is decoded up to the first corrupt packet. With `as_ffmpeg` both follow the ffmpeg
program, to prepare data sets as their authors did.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .container import ffmpeg_score, open_video, video_streams
from .packets import read_packets

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream


class Decoder:
    """Decode a video stream once, in presentation order (the output order of the decoder).

    Iterating yields the frames; afterwards `failure` describes the first decoding error, or is None. With `as_ffmpeg`
    the stream is the one that the ffmpeg program would choose, and undecodable packets are skipped as it does.
    Otherwise it is the first video stream, and decoding ends at the first error, because the decoder conceals errors
    in later frames.

    Raises (while iterating):
        FrameError: the file cannot be opened, has no video stream, or does not end.
    """

    def __init__(self, path: Path, as_ffmpeg: bool = False) -> None:
        self.path = path
        self.as_ffmpeg = as_ffmpeg
        self.failure: str | None = None
        self.rate = 0.0
        self._start_s = 0.0
        self._last_s = 0.0
        self._timeless = False

    def __iter__(self) -> Generator[VideoFrame, None, None]:
        with open_video(self.path) as container:
            streams = video_streams(container, self.path)
            stream = max(streams, key=ffmpeg_score) if self.as_ffmpeg else streams[0]
            self.rate = float(stream.guessed_rate or stream.average_rate or 0)
            self._timeless = container.format.name == "avi"
            self._start_s = (container.start_time or 0) / 1e6
            yield from self._decode(container, stream)

    def time_s(self, frame: VideoFrame) -> float:
        """Return the presentation time in seconds from the start of the file; call it for every frame, in order.

        AVI stores no presentation times (the reported ones are not monotonic), so decoding times are used, as in
        ffmpeg.
        """
        stamp = frame.dts if self._timeless or frame.pts is None else frame.pts
        if stamp is None:  # the last frames of an AVI: one frame interval apart
            self._last_s += 1 / self.rate if self.rate else 0.0
        else:
            self._last_s = float(stamp * (frame.time_base or 0)) - self._start_s
        return self._last_s

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        from av.error import FFmpegError

        count = 0
        packets = read_packets(container, stream, self.path)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet else []
            except FFmpegError as error:
                self.failure = self.failure or f"decoding failed after {count} frames: {error.strerror}"
                if self.as_ffmpeg and not isinstance(error, OSError):
                    continue
                return
            if packet is None:
                return
            for frame in frames:
                count += 1
                yield frame
