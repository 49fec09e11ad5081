"""Video files as frames on demand: what is never asked for is, as far as the file allows, never decoded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from .demuxer import Demuxer
from .ffmpeg import open_video, to_rgb, video_streams
from .linear_reader import LinearReader
from .packet_index import read_index
from .seeking_reader import SeekingReader
from .source import check_position

if TYPE_CHECKING:
    from av import VideoFrame


class VideoFrames:
    """A video file's first video stream (by index, not the "best" one), in presentation order, turned for display.

    Opening reads through the file without decoding where its packets tell its pictures (`VideoIndex`); else it decodes
    the whole file once to count them, and only those before the first damage count. `read` decodes from the last key
    frame on, and keeps those expected that it passes: at most as many as are expected. If every position read was
    expected, no picture is decoded twice after opening, except in a damaged file.

    Raises:
        FrameError: the file cannot be opened or gives not a single frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = _open_reader(path)
        self._lock = threading.Lock()
        self._closing = False
        self._announced = False
        self._due: Counter[int] = Counter()  # how often each expected position will still be read
        self._kept: dict[int, VideoFrame] = {}

    @property
    def frames_decoded(self) -> int:
        """Pictures that a decoder has worked on so far, those for counting and those that others needed included.

        Never too few. While a file is open it may count some pictures of H.264 that the decoder left out: those just
        before the place where it stands. Pictures that FFmpeg decodes to find out a stream's kind do not count.
        """
        return self._reader.decoded

    def __len__(self) -> int:
        return len(self._reader)

    def expect(self, positions: Sequence[int]) -> None:
        """See `FrameSource.expect`; a second call replaces the first."""
        for position in positions:
            check_position(position, len(self), str(self.path))
        with self._lock:
            self._check_open()
            self._announced = True
            self._due = Counter(positions)
            self._kept = {position: frame for position, frame in self._kept.items() if position in self._due}
            self._reader.plan(set(positions))

    def read(self, position: int) -> NDArray[np.uint8]:
        """See `FrameSource.read`."""
        check_position(position, len(self), str(self.path))
        with self._lock:
            self._check_open()
            frame = self._kept[position] if position in self._kept else self._decode_to(position)
            self._count_off(position)
            return to_rgb(frame)

    def close(self) -> None:
        """See `FrameSource.close`; waits until a read that is under way has given up."""
        self._closing = True
        with self._lock:
            self._kept.clear()
            self._reader.close()

    def _check_open(self) -> None:
        if self._closing:
            raise FrameError(f"{self.path} was closed", "read before closing")

    def _decode_to(self, target: int) -> VideoFrame:
        found: VideoFrame | None = None
        steps = self._reader.steps(target, lambda place: place == target or self._is_missing(place))
        while found is None:
            pictures = next(steps)
            self._check_open()
            for position, frame in pictures:
                if position == target:
                    found = frame
                if self._is_missing(position):
                    self._kept[position] = frame
        return found

    def _is_missing(self, position: int) -> bool:
        return self._due[position] > 0 and position not in self._kept

    def _count_off(self, position: int) -> None:
        """Drop what was read for the last time, and the decoders that are no longer needed."""
        self._due[position] -= 1
        if self._due[position] <= 0:
            self._kept.pop(position, None)
        waiting = [place for place in self._due if self._is_missing(place)]
        self._reader.release(waiting, spare=not self._announced)


def _open_reader(path: Path) -> SeekingReader | LinearReader:
    container = open_video(path)
    try:
        stream = video_streams(container, path)[0]
        index = read_index(container, stream, path)
    except BaseException:
        container.close()
        raise
    if index is not None:
        return SeekingReader(path, index, Demuxer(path, index, container, stream))
    container.close()
    return LinearReader(path)
