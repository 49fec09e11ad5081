"""The pictures of a video file whose packets do not tell where its pictures are, and how many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError
from .ffmpeg import HINT, Decoder
from .segment_decoder import Picture

if TYPE_CHECKING:
    from av import VideoFrame


class LinearReader:
    """The pictures of a file that only decoding counts: once from beginning to end, then again up to what is asked for.

    Raises:
        FrameError: not a single frame decodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        decoder = Decoder(path)
        self._length = self.decoded = sum(1 for _ in decoder)
        self._next = 0
        self._frames: Generator[VideoFrame, None, None] | None = None
        if not self._length:
            because = f" ({decoder.failure})" if decoder.failure else ""
            raise FrameError(f"no frame of {path} decodes{because}", HINT)

    def __len__(self) -> int:
        return self._length

    def plan(self, positions: Collection[int]) -> None:
        """Nothing to plan: there is one way."""

    def steps(self, target: int, wanted: Callable[[int], bool]) -> Iterator[list[Picture]]:  # noqa: ARG002 - no choice
        """See `SeekingReader.steps`."""
        if self._frames is None or self._next > target:
            self.close()
            self._frames, self._next = iter(Decoder(self.path)), 0
        for frame in self._frames:
            position, self._next, self.decoded = self._next, self._next + 1, self.decoded + 1
            if frame.is_corrupt:
                self.close()
                raise FrameError(f"{self.path}: frame {position} is damaged", f"frame {target} cannot be had: {HINT}")
            yield [(position, frame)]
        raise FrameError(f"{self.path} changed while it was read", "leave the file alone during a run")

    def release(self, expected: Collection[int], spare: bool) -> None:
        """See `SeekingReader.release`."""
        if not expected and not spare:
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
