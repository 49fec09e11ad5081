"""The pixels of one clip, in the order in which the network looks at them, made only when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ..bundle.manifest import FrameExitManifest
from ..engines.base import Engine, Handle
from ..video.sampling import sample_positions
from ..video.source import FrameSource, open_frames

Clip = str | Path | NDArray[np.uint8] | NDArray[np.float32] | FrameSource

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_R = TypeVar("_R")


@dataclass(frozen=True)
class Named(Generic[_T_co]):
    """A clip, or a way to open it, with the name that a policy knows it by."""

    name: str
    clip: _T_co


def named(clip: _T | Named[_T]) -> Named[_T]:
    """Return the clip with its name; of those that have none, a file goes by its path."""
    if isinstance(clip, Named):
        return clip
    return Named(str(clip) if isinstance(clip, str | Path) else "", clip)


def each_named(clips: Iterable[_T | Named[_T]], opened: Callable[[_T], _R]) -> Iterator[Named[_R]]:
    """Keep the clips' names, and put what ``opened`` makes of them in their place."""
    for clip in clips:
        known = named(clip)
        yield Named(known.name, opened(known.clip))


@dataclass
class ReadCost:
    """What reading a clip has cost so far.

    Attributes:
        frames_read: frames that were asked for.
        frames_decoded: pictures that a decoder worked on; more than those asked for where others are needed first. A
            read that is still under way counts as one.
        decode_s: time spent opening, seeking and decoding.
        preprocess_s: time spent turning frames into pixels.
        frames_replaced: frames in whose place the source gave another one, because they could not be had.
    """

    frames_read: int = 0
    frames_decoded: int = 0
    decode_s: float = 0.0
    preprocess_s: float = 0.0
    frames_replaced: int = 0


class Reader(Protocol):
    """Gives the pixels of a clip, step by step; used by one thread at a time."""

    cost: ReadCost

    def read(self, step: int, out: Handle | None = None) -> Handle:
        """Return the pixels ``[1, 3, h, w]`` of a step (1-based), in ``out`` where one is given.

        Raises:
            FrameError: the frame cannot be had.
        """
        ...

    def close(self) -> None:
        """Let go of the clip; may be called from another thread, and ends a read that is under way."""
        ...


class FrameReader:
    """Decodes the sampled frames of a source and runs the bundle's own preprocessing on them."""

    def __init__(
        self, engine: Engine, manifest: FrameExitManifest, source: FrameSource, opening_s: float = 0.0
    ) -> None:
        self.cost = ReadCost(decode_s=opening_s)
        self._engine = engine
        self._source = source
        sampled = sample_positions(len(source), manifest.frames)
        self._positions = [sampled[place] for place in manifest.frame_order]
        source.expect(self._positions)

    def read(self, step: int, out: Handle | None = None) -> Handle:
        """See `Reader.read`."""
        self.cost.frames_read += 1
        frame = read_frame(self._source, self._positions[step - 1], self.cost)
        begin = time.perf_counter()
        pixels = self._engine.run("preprocess", self._engine.put(np.ascontiguousarray(frame[None])), out=out)
        self.cost.preprocess_s += time.perf_counter() - begin
        return pixels

    def close(self) -> None:
        """See `Reader.close`."""
        self._source.close()


def read_frame(source: FrameSource, position: int, cost: ReadCost) -> NDArray[np.uint8]:
    """Return a frame of a source, uint8 RGB ``[H, W, 3]``, and add to ``cost`` what it took to decode it.

    Raises:
        FrameError: the frame cannot be had.
    """
    begin = time.perf_counter()
    cost.frames_decoded += 1
    try:
        return source.read(position)
    finally:
        cost.decode_s += time.perf_counter() - begin
        cost.frames_decoded = source.frames_decoded
        cost.frames_replaced = getattr(source, "replaced", 0)


class PixelReader:
    """Takes a clip whose frames are normalised already: float32 ``[frames, 3, h, w]`` in temporal order."""

    def __init__(self, engine: Engine, manifest: FrameExitManifest, clip: NDArray[np.float32]) -> None:
        size = manifest.preprocessing.input_size
        wanted = (manifest.frames, 3, size, size)
        if clip.shape != wanted:
            raise FrameError(
                f"float32 clip of shape {list(clip.shape)}, {manifest.network} takes {list(wanted)}",
                "give normalised pixels of that shape, or uint8 frames [T, H, W, 3] of any size",
            )
        self.cost = ReadCost()
        self._engine, self._order, self._clip = engine, manifest.frame_order, np.ascontiguousarray(clip)

    def read(self, step: int, out: Handle | None = None) -> Handle:
        """See `Reader.read`."""
        self.cost.frames_read += 1
        place = self._order[step - 1]
        pixels = self._engine.put(self._clip[place : place + 1])
        if out is None:
            return pixels
        self._engine.copy(pixels, out)
        return out

    def close(self) -> None:
        """Nothing to let go of."""


def open_reader(engine: Engine, manifest: FrameExitManifest, clip: Clip | Callable[[], FrameSource]) -> Reader:
    """Open a clip: anything that ``Network.predict`` takes, or a function that opens a source.

    Raises:
        FrameError: it is no clip, or gives no frame.
    """
    begin = time.perf_counter()
    if isinstance(clip, np.ndarray) and clip.dtype == np.float32:
        return PixelReader(engine, manifest, cast(NDArray[np.float32], clip))
    source = open_source(clip)
    return FrameReader(engine, manifest, source, time.perf_counter() - begin)


def open_source(clip: object) -> FrameSource:
    """Return the frames of a clip: a path, an array, a source, or a function that opens one.

    Raises:
        FrameError: it is none of these, or there is nothing to open.
    """
    if isinstance(clip, (str, Path, np.ndarray)):
        return open_frames(clip)
    source = clip() if callable(clip) else clip
    if not hasattr(source, "expect"):
        raise FrameError(
            f"a clip cannot be a {type(clip).__name__}", "give a video file, a folder of pictures or an array"
        )
    return cast(FrameSource, source)
