"""Open a video file with FFmpeg's libraries through PyAV, and choose its video stream.

FFmpeg receives an open file rather than a name, which it would parse for protocols (`concat:`, `http:`) and patterns
(`%03d`). It opens nothing else: formats that refer to other files or addresses, such as playlists, are not permitted.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError
from ...input_files import NotAFileError, open_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.error import FFmpegError
    from av.video.stream import VideoStream

HINT = "use a video file that FFmpeg can decode"

# FFmpeg's demuxers for self-contained video files and for single images
_FORMATS = (
    "3gp apng apv asf asf_o av1 avi avs2 avs3 cavsvideo cine dhav dirac dnxhd dv evc flic flv gif gxf h261 h263 "
    "h264 hevc hxvs ifv ingenient ivf kux luodat lvf lxf m4v matroska mjpeg mlv mov mpeg mpegts mpegvideo mpjpeg "
    "mxf mxg nsv nut nuv obu ogg pmp pva r3d rm ser swf ty vc1 vc1test vvc webm wtv yuv4mpegpipe "
    "bmp_pipe jpeg_pipe png_pipe webp_pipe "
    # audio formats, so that the error is that there is no video stream
    "aac aiff caf flac mp3 wav"
)
_OPTIONS = {"protocol_whitelist": "fd", "format_whitelist": ",".join(_FORMATS.split())}


def open_video(path: Path) -> InputContainer:
    """Return the opened container; the caller closes it.

    Raises:
        FrameError: the path is not a regular file, or does not contain a video; the message gives the reason.
    """
    import av

    try:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise FrameError(f"{path} is empty", HINT)
            # FFmpeg duplicates the descriptor
            options = {**_OPTIONS, "fd": str(file.fileno())}
            return av.open("fd:", mode="r", metadata_errors="replace", container_options=options)
    except (av.error.FFmpegError, OSError) as error:
        raise FrameError(f"cannot open {path} as a video: {_reason(error)}", HINT) from error


def _reason(error: FFmpegError | OSError) -> str | None:
    if error.errno == errno.EINVAL and not isinstance(error, NotAFileError):  # FFmpeg's error for any other format
        return "it is not in a video format, or is a playlist"
    return error.strerror


def video_streams(container: InputContainer, path: Path) -> list[VideoStream]:
    """Return the container's video streams, ordered by index and without cover art; `path` is for error messages.

    Raises:
        FrameError: there is no video stream, or FFmpeg has no decoder for any of them.
    """
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise FrameError(f"{path} has no video stream", HINT)
    if not any(map(_has_decoder, streams)):
        raise FrameError(f"FFmpeg has no decoder for the video stream of {path}", HINT)
    return streams


def _has_decoder(stream: VideoStream) -> bool:
    """Return whether FFmpeg recognizes the codec; if not, the stream lacks the attributes of a video stream."""
    return stream.codec_context is not None


def _is_cover(stream: VideoStream) -> bool:
    """Return whether the stream is cover art, which audio files store as a one-frame video."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def ffmpeg_score(stream: VideoStream) -> int:
    """Return the score that ffmpeg 5.1 gives a video stream: its area in pixels, plus a bonus for the default stream.

    A stream without a decoder gets the lowest score.
    """
    from av.stream import Disposition

    if not _has_decoder(stream):
        return -1
    return stream.width * stream.height + 5_000_000 * bool(stream.disposition & Disposition.default)
