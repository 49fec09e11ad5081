"""Frames of video files on demand: as far as the file permits, frames that are not requested are not decoded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .completeness.check import check_complete
from .container import HINT, open_video, video_streams
from .demuxer import Demuxer
from .linear_reader import LinearReader
from .orientation import to_rgb
from .packet_index import read_index
from .progress import note_progress
from .seeking_reader import SeekingReader
from .source import check_position

if TYPE_CHECKING:
    from av import VideoFrame


class VideoFrames:
    """The first video stream of a file (by index, not the "best" one), in presentation order, rotated for display.

    Attributes:
        frame_rate: average frame rate stated by the file, in frames per second; 0 if it states none.

    If the packets identify the frames (`VideoIndex`), opening the file reads it without decoding. Otherwise, the whole
    file is decoded once to count the frames before the first error. `read` decodes from the preceding key frame and
    keeps the expected frames that it passes. If every position read was expected, no frame is decoded twice after
    opening, except in a damaged file.

    Raises:
        FrameError: the file cannot be opened or contains no decodable frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader, self.frame_rate = _open_reader(path)
        self._lock = threading.Lock()
        self._closing = False
        self._announced = False
        self._due: Counter[int] = Counter()  # number of remaining reads at each expected position
        self._kept: dict[int, VideoFrame] = {}

    @property
    def frames_decoded(self) -> int:
        """Upper bound on the number of frames decoded so far, including those decoded for counting or as references.

        While an H.264 file is open, the number may include a few frames just before the current position that the
        decoder has skipped. Frames that FFmpeg decodes to probe a stream are not counted.
        """
        return self._reader.decoded

    def __len__(self) -> int:
        return len(self._reader)

    def expect(self, positions: Sequence[int]) -> None:
        """Announce the frames that may be read; a second call replaces the first."""
        for position in positions:
            check_position(position, len(self), str(self.path))
        with self._lock:
            self._check_open()
            self._announced = True
            self._due = Counter(positions)
            self._kept = {position: frame for position, frame in self._kept.items() if position in self._due}
            self._reader.plan(set(positions))

    def read(self, position: int) -> NDArray[np.uint8]:
        check_position(position, len(self), str(self.path))
        try:
            with self._lock:
                self._check_open()
                frame = self._kept[position] if position in self._kept else self._decode_to(position)
                self._count_off(position)
                return to_rgb(frame)
        finally:
            if self._closing:
                self._close_if_idle()

    def close(self) -> None:
        """Close the video, or abort a read in progress, which then closes it; return immediately in either case."""
        self._closing = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._kept.clear()
                self._reader.close()
            finally:
                self._lock.release()

    def _check_open(self) -> None:
        if self._closing:
            raise FrameError(f"{self.path} is closed", "read before closing it")

    def _decode_to(self, target: int) -> VideoFrame:
        found: VideoFrame | None = None
        steps = self._reader.steps(target, lambda place: place == target or self._is_missing(place))
        while found is None:
            decoded = next(steps)
            note_progress()
            self._check_open()
            for position, frame in decoded:
                if position == target:
                    found = frame
                if self._is_missing(position):
                    self._kept[position] = frame
        return found

    def _is_missing(self, position: int) -> bool:
        return self._due[position] > 0 and position not in self._kept

    def _count_off(self, position: int) -> None:
        """Count a read, and drop frames that will not be read again and decoders that are no longer needed."""
        self._due[position] -= 1
        if self._due[position] <= 0:
            self._kept.pop(position, None)
        waiting = [place for place in self._due if self._is_missing(place)]
        self._reader.release(waiting, spare=not self._announced)


def _open_reader(path: Path) -> tuple[SeekingReader | LinearReader, float]:
    """Return the reader of a file, and its average frame rate."""
    container = open_video(path)
    try:
        stream = video_streams(container, path)[0]
        check_complete(path, container.format.name)
        if stream.codec_context is None:
            raise FrameError(f"FFmpeg has no decoder for the video stream of {path}", HINT)
        rate = float(stream.average_rate or 0)
        index = read_index(container, stream, path)
    except BaseException:
        container.close()
        raise
    if index is not None:
        return SeekingReader(path, index, Demuxer(path, index, container, stream)), rate
    container.close()
    return LinearReader(path), rate
