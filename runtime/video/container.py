"""Open a video file with FFmpeg's libraries through PyAV, and choose its video stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

HINT = "give a video file that FFmpeg can decode"


def open_video(path: Path) -> InputContainer:
    """Return the opened container; the caller closes it.

    Raises:
        FrameError: the file does not exist or is not a video; the message includes FFmpeg's reason.
    """
    import av

    if path.is_file() and path.stat().st_size == 0:
        raise FrameError(f"{path} is empty", HINT)
    try:
        return av.open(str(path), mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise FrameError(f"cannot open {path} as a video: {error.strerror}", HINT) from error


def video_streams(container: InputContainer, path: Path) -> list[VideoStream]:
    """Return the video streams of the container opened from `path`, by index, without cover art.

    Raises:
        FrameError: there is no video stream.
    """
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise FrameError(f"{path} has no video stream", HINT)
    return streams


def _is_cover(stream: VideoStream) -> bool:
    """Return whether the stream is cover art, which an audio file stores as a video of one frame."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def ffmpeg_score(stream: VideoStream) -> int:
    """Return the ffmpeg program's (5.1) score of a video stream: area in pixels plus a bonus for a default stream."""
    from av.stream import Disposition

    return stream.width * stream.height + 5_000_000 * bool(stream.disposition & Disposition.default)
