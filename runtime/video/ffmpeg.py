"""One decoding pass over a video file by FFmpeg's libraries through PyAV.

Which stream is taken and what happens at a damaged packet are choices that change predictions, so both are stated here:
the first video stream by index and an end at the first damage, or with `as_ffmpeg` what the ffmpeg program does, for
preparing data sets as the authors did.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

HINT = "give a video file that FFmpeg can decode"


class Decoder:
    """One pass over a video stream, in presentation order (the order in which the decoder gives frames out).

    Iterating yields the frames; `damage` then says where decoding met damage, or is None. With `as_ffmpeg` the stream
    is the one the ffmpeg program would choose and undecodable packets are skipped as it does; else it is the first
    video stream and decoding ends at the first damage, because what follows is guessed by the decoder.

    Raises (while iterating):
        FrameError: the file cannot be opened, or holds no video stream.
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
            stream = max(streams, key=_ffmpeg_score) if self.as_ffmpeg else streams[0]
            self.rate = float(stream.guessed_rate or stream.average_rate or 0)
            self._timeless = container.format.name == "avi"
            self._start_s = (container.start_time or 0) / 1e6
            yield from self._decode(container, stream)

    def time_s(self, frame: VideoFrame) -> float:
        """Presentation time in seconds from the start of the file; to be asked for every frame, in order.

        AVI holds no presentation times (those reported go back and forth), so decoding times are used, as ffmpeg does.
        """
        stamp = frame.dts if self._timeless or frame.pts is None else frame.pts
        if stamp is None:  # the last frames of an AVI: they follow one by one
            self._last_s += 1 / self.rate if self.rate else 0.0
        else:
            self._last_s = float(stamp * (frame.time_base or 0)) - self._start_s
        return self._last_s

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        from av.error import FFmpegError

        count = 0
        packets = container.demux(stream)
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


def open_video(path: Path) -> InputContainer:
    """The opened container; closing it is the caller's business.

    Raises:
        FrameError: nothing is there, or it is not a video, with FFmpeg's reason.
    """
    import av

    if path.is_file() and path.stat().st_size == 0:
        raise FrameError(f"{path} is empty", HINT)
    try:
        return av.open(str(path), mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise FrameError(f"cannot open {path} as a video: {error.strerror}", HINT) from error


def video_streams(container: InputContainer, path: Path) -> list[VideoStream]:
    """The video streams of the container opened from `path`, by index, cover pictures left out.

    Raises:
        FrameError: there is none.
    """
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise FrameError(f"{path} has no video stream", HINT)
    return streams


def _is_cover(stream: VideoStream) -> bool:
    """Whether the stream is a cover picture, which a music file carries as a video of one frame."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _ffmpeg_score(stream: VideoStream) -> int:
    """What the ffmpeg program (5.1) ranks video streams by: area in pixels, with a bonus for a default stream."""
    from av.stream import Disposition

    return stream.width * stream.height + 5_000_000 * bool(stream.disposition & Disposition.default)


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """The frame as uint8 RGB [H, W, 3], turned as the file says it is to be shown.

    Equal, byte for byte, to what `ffmpeg -pix_fmt rgb24` writes, for the clips this was compared on.
    """
    picture = frame.to_ndarray(format="rgb24")
    # rotation is counter-clockwise degrees, and so are rot90's quarter turns
    turned = np.rot90(picture, k=round(frame.rotation / 90) % 4)
    return np.ascontiguousarray(turned, dtype=np.uint8)
