"""Decode a video file once, from the first frame to the last.

The choice of stream and the handling of corrupt packets affect predictions, so both are defined here: the first video
stream by index is decoded up to the first corrupt packet.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .container import open_video, video_streams
from .packets import read_packets

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream


class Decoder:
    """Decodes a video stream once, in presentation order (the decoder's output order).

    Iteration yields the frames; afterward, `failure` describes the first decoding error, or is None. Decoding ends at
    the first error, because the decoder conceals errors in later frames.

    Raises (while iterating):
        FrameError: the file cannot be opened, has no video stream, or never ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: str | None = None

    def __iter__(self) -> Generator[VideoFrame, None, None]:
        with open_video(self.path) as container:
            yield from self._decode(container, video_streams(container, self.path)[0])

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
                return
            if packet is None:
                return
            for frame in frames:
                count += 1
                yield frame
