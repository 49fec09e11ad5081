"""Extract one video to a folder of JPEGs, as the authors of FrameExit did with ffmpeg.

Equivalent to `ffmpeg -i V -r RATE -qscale:v 2 -vf scale=S:S:force_original_aspect_ratio=increase`; accuracy depends on
the frames it selects. In a comparison with ffmpeg 5.1.9 on the 25 decodable clips of `shared/data/clips` (at 1 and 5
images per second) and on about 180 generated ones (joined, wrapped, offset, trimmed and damaged files, variable rates,
11 containers; at 1, 5, 10 or 30 images per second), both programs always wrote the same number of images, from the same
frames. Pixels are identical unless scaled or converted: scaled images differ slightly between versions of swscale, by
0.2 to 0.6 out of 255 in RGB on average and by at most 18 in any pixel, and colors converted from RGB differ by about 1.
Error concealment differs, though (`corrupted.mp4` yields the same number of images, but with different content).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import FrameError
from .ffmpeg.constant_rate import constant_rate
from .ffmpeg.decoder import FfmpegDecoder, open_as_ffmpeg
from .ffmpeg.jpeg import Scaler, jpeg
from .prepared_folder import new_folder, write_error

if TYPE_CHECKING:
    from av import VideoFrame


class ExtractionResult(NamedTuple):
    """Number of images written, and the location of the first decoding error, if any."""

    pictures: int
    damage: str | None


class ExtractionStopped(Exception):  # noqa: N818  # not an error: requested by the user
    """The extraction was stopped; none of the video's extracted frames are kept."""


def extract_video(
    video: Path, folder: Path, rate: int, short_side: int, stopped: Callable[[], bool] = lambda: False
) -> ExtractionResult:
    """Write `folder/frame_0001.jpeg`, ... at `rate` images per second, each `short_side` pixels on its shorter side.

    The folder is created atomically.

    Raises:
        FrameError: the video cannot be opened or yields no frames, or the folder's name is taken or too long.
        MissingError: the disk is full, or the folder is not writable.
        ExtractionStopped: `stopped()` became true.
    """
    if video.exists() and not video.is_file():
        raise FrameError(f"{video} is not a regular file", "exclude it")  # opening a pipe would block
    with new_folder(folder) as partial:
        return _extract(video, partial, rate, short_side, stopped)


def _extract(video: Path, folder: Path, rate: int, short_side: int, stopped: Callable[[], bool]) -> ExtractionResult:
    recent: dict[int, VideoFrame] = {}
    scaler = Scaler(short_side)
    last, image, count = -1, b"", 0
    with open_as_ffmpeg(video) as decoder:
        times = _frame_times(decoder, recent)
        for position in constant_rate(times, rate, decoder.duration_s, decoder.only_stream):
            if stopped():
                raise ExtractionStopped
            if position != last:
                last, image = position, jpeg(scaler.scale_frame(recent[position]), rate)
            count += 1
            _write(folder / f"frame_{count:04d}.jpeg", image)
    if not count:
        raise FrameError(f"cannot decode any frame of {video}", decoder.failure or "exclude the video")
    return ExtractionResult(count, decoder.failure)


def _frame_times(decoder: FfmpegDecoder, recent: dict[int, VideoFrame]) -> Iterator[Fraction | None]:
    """Yield the time of every frame, keeping the frame and its predecessor in `recent`."""
    for position, (frame, time_s) in enumerate(decoder):
        recent[position] = frame
        recent.pop(position - 2, None)
        yield time_s


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise write_error(path, error) from error
