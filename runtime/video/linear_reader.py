"""Sequential frame reader for video files whose packets do not determine the number and positions of frames."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError
from .container import HINT
from .full_decoder import Decoder
from .segment_decoder import PositionedFrame

if TYPE_CHECKING:
    from av import VideoFrame


class LinearReader:
    """Reads a file that has no packet index: decodes it once to count frames, then again up to each requested frame.

    Raises:
        FrameError: no frame can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        decoder = Decoder(path)
        self._length = self.decoded = sum(1 for _ in decoder)
        self._next = 0
        self._frames: Generator[VideoFrame, None, None] | None = None
        if not self._length:
            reason = f" ({decoder.failure})" if decoder.failure else ""
            raise FrameError(f"no frame of {path} can be decoded{reason}", HINT)

    def __len__(self) -> int:
        return self._length

    def plan(self, positions: Collection[int]) -> None:
        """Do nothing, since a sequential reader cannot choose where to seek."""

    def steps(self, target: int, wanted: Callable[[int], bool]) -> Iterator[list[PositionedFrame]]:  # noqa: ARG002 - decodes every frame
        """Yield frames with their positions up to the target; see `SeekingReader.steps`."""
        if self._frames is None or self._next > target:
            self.close()
            self._frames, self._next = iter(Decoder(self.path)), 0
        for frame in self._frames:
            position, self._next, self.decoded = self._next, self._next + 1, self.decoded + 1
            if frame.is_corrupt:
                self.close()
                hint = f"frame {target} cannot be decoded: {HINT}"
                raise FrameError(f"{self.path}: frame {position} is corrupt", hint)
            yield [(position, frame)]
        raise FrameError(f"{self.path} changed while it was being read", "do not modify the file during a run")

    def release(self, expected: Collection[int], spare: bool) -> None:
        """Close the file if no frame is expected, unless ``spare`` is true."""
        if not expected and not spare:
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
