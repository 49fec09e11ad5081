"""Input for frame-count networks: one clip of sampled frames for each frame count in a cascade, read on demand."""

from __future__ import annotations

import time
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ..bundle.manifest import FlexibleManifest
from ..engines.base import Engine, Handle
from ..video.sampling import SAMPLERS
from ..video.source import FrameSource
from .base import (
    Clip,
    ReadCost,
    Reader,
    check_pixels,
    close_source,
    frame_rate,
    open_source,
    without_repeats,
    write_clip,
)


class ClipReader:
    """Decodes the sampled frames of a source and runs the bundle's own preprocessing on each."""

    def __init__(
        self,
        engine: Engine,
        manifest: FlexibleManifest,
        counts: tuple[int, ...],
        source: FrameSource,
        *,
        sampled: bool = False,
        opening_s: float = 0.0,
    ) -> None:
        """Use ``sampled`` frames as they are if their number equals the frame count; otherwise, resample as usual."""
        self.cost = ReadCost(decode_s=opening_s)
        self._engine, self._manifest, self._source = engine, manifest, source
        sampler, length = SAMPLERS[manifest.sampling], len(source)
        rate, clips = frame_rate(source), manifest.temporal_views
        self._clips = [
            (tuple(range(count)),) if sampled and length == count else sampler(length, count, rate, clips)
            for count in counts
        ]
        source.expect([place for clips in self._clips for clip in clips for place in without_repeats(clip)])

    def read(self, step: int, out: Handle | None = None) -> Handle:
        """Return the clips ``[views, T, 3, h, w]`` for a step (1-based), in ``out`` if given."""
        clips, preprocessing = self._clips[step - 1], self._manifest.preprocessing
        crops, size = len(preprocessing.crops), preprocessing.input_size
        shape = (crops * len(clips), len(clips[0]), 3, size, size)
        views = self._engine.zeros(shape) if out is None else out
        for number, positions in enumerate(clips):
            rows = self._engine.rows(views, crops * number, crops * (number + 1))
            write_clip(self._engine, self._source, positions, rows, self.cost)
        return views

    def close(self) -> None:
        close_source(self._source)


class PixelClipReader:
    """Provides a clip of normalized frames: float32 ``[T, 3, h, w]`` or ``[views, T, 3, h, w]``."""

    def __init__(
        self, engine: Engine, manifest: FlexibleManifest, counts: tuple[int, ...], clip: NDArray[np.float32]
    ) -> None:
        size, views = manifest.preprocessing.input_size, manifest.views
        expected = (counts[-1], 3, size, size)
        if len(counts) > 1 or clip.shape not in (expected, (1, *expected), (views, *expected)):
            raise FrameError(
                f"the float32 clip has shape {list(clip.shape)}, but {manifest.network} takes {list(expected)}"
                f"{f' or {[views, *expected]}' if views > 1 else ''}{', without a cascade' if len(counts) > 1 else ''}",
                "pass normalized pixels of that shape, or uint8 frames [T, H, W, 3] of any size",
            )
        check_pixels(clip)
        self.cost = ReadCost()
        self._engine, self._clip = engine, np.ascontiguousarray(clip).reshape(-1, *expected)
        self._clips = max(1, len(self._clip) // len(manifest.preprocessing.crops))

    def read(self, step: int, out: Handle | None = None) -> Handle:  # noqa: ARG002 - there is one step
        """Return the clip itself; ``out`` is not used, since no copy is needed."""
        self.cost.frames_read += self._clips * self._clip.shape[1]
        return self._engine.put(self._clip)

    def close(self) -> None:
        """Do nothing, since there is nothing to release."""


def open_clip_input(engine: Engine, manifest: FlexibleManifest, counts: tuple[int, ...], clip: object) -> Reader:
    """Open a clip (anything ``Network.predict`` accepts, or a function that opens a source) for these frame counts.

    Raises:
        FrameError: the object is not a clip, or yields no frames.
    """
    begin = time.perf_counter()
    if isinstance(clip, np.ndarray) and clip.dtype == np.float32:
        return PixelClipReader(engine, manifest, counts, cast(NDArray[np.float32], clip))
    source = open_source(clip)
    opening_s = time.perf_counter() - begin
    sampled = isinstance(clip, np.ndarray)
    return ClipReader(engine, manifest, counts, source, sampled=sampled, opening_s=opening_s)


def frame_count(clip: Clip) -> int | None:
    """Return the number of frames in a clip of normalized pixels; None for clips that will be sampled."""
    if isinstance(clip, np.ndarray) and clip.dtype == np.float32 and clip.ndim >= 4:
        return int(clip.shape[-4])
    return None
