"""Input for networks that read a video on demand, one sampled frame or clip per step."""

from __future__ import annotations

import time
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ..bundle.manifest import FrameExitManifest
from ..engines.base import Engine, Handle
from ..video.sampling import SAMPLERS, linspace_positions
from ..video.source import FrameSource
from .base import (
    ReadCost,
    Reader,
    check_pixels,
    close_source,
    frame_rate,
    open_source,
    preprocess,
    read_frame,
    without_repeats,
    write_clip,
)


class FrameReader:
    """Decodes the sampled frames of a source and runs the bundle's own preprocessing on them."""

    def __init__(
        self, engine: Engine, manifest: FrameExitManifest, source: FrameSource, opening_s: float = 0.0
    ) -> None:
        self.cost = ReadCost(decode_s=opening_s)
        self._engine = engine
        self._source = source
        sampled = linspace_positions(len(source), manifest.frames)
        self._positions = [sampled[place] for place in manifest.frame_order]
        source.expect(self._positions)

    def read(self, step: int, out: Handle | None = None) -> Handle:
        self.cost.frames_read += 1
        frame = read_frame(self._source, self._positions[step - 1], self.cost)
        begin = time.perf_counter()
        pixels = preprocess(self._engine, frame, out)
        self.cost.preprocess_s += time.perf_counter() - begin
        return pixels

    def close(self) -> None:
        close_source(self._source)


class StepClipReader:
    """Decodes the clip of frames that each step reads; frames shared by several clips are decoded only once."""

    def __init__(
        self, engine: Engine, manifest: FrameExitManifest, source: FrameSource, opening_s: float = 0.0
    ) -> None:
        self.cost = ReadCost(decode_s=opening_s)
        self._engine, self._manifest, self._source = engine, manifest, source
        sampler = SAMPLERS[manifest.sampling]
        clips = sampler(len(source), manifest.clip_frames, frame_rate(source), manifest.frames)
        self._clips = [clips[place] for place in manifest.frame_order]
        source.expect([position for clip in self._clips for position in without_repeats(clip)])

    def read(self, step: int, out: Handle | None = None) -> Handle:
        clip = self._engine.zeros((1, *self._manifest.pixels_shape)) if out is None else out
        write_clip(self._engine, self._source, self._clips[step - 1], clip, self.cost)
        return clip

    def close(self) -> None:
        close_source(self._source)


class PixelReader:
    """Provides normalized pixels for all steps: float32 ``[frames, 3, h, w]`` or ``[frames, clip_frames, 3, h, w]``.

    The pixels are in temporal order.
    """

    def __init__(self, engine: Engine, manifest: FrameExitManifest, clip: NDArray[np.float32]) -> None:
        expected = (manifest.frames, *manifest.pixels_shape)
        if clip.shape != expected:
            raise FrameError(
                f"the float32 clip has shape {list(clip.shape)}, but {manifest.network} takes {list(expected)}",
                "pass normalized pixels of that shape, or uint8 frames [T, H, W, 3] of any size",
            )
        check_pixels(clip)
        self.cost = ReadCost()
        self._engine, self._order, self._clip = engine, manifest.frame_order, np.ascontiguousarray(clip)
        self._frames = manifest.clip_frames

    def read(self, step: int, out: Handle | None = None) -> Handle:
        self.cost.frames_read += self._frames
        place = self._order[step - 1]
        pixels = self._engine.put(self._clip[place : place + 1])
        if out is None:
            return pixels
        self._engine.copy(pixels, out)
        return out

    def close(self) -> None:
        """Do nothing, since there is nothing to release."""


def open_frame_input(engine: Engine, manifest: FrameExitManifest, clip: object) -> Reader:
    """Open a clip, which is anything that ``Network.predict`` accepts, or a function that opens a source.

    Raises:
        FrameError: the object is not a clip, or yields no frames.
    """
    begin = time.perf_counter()
    if isinstance(clip, np.ndarray) and clip.dtype == np.float32:
        return PixelReader(engine, manifest, cast(NDArray[np.float32], clip))
    source = open_source(clip)
    reader = FrameReader if manifest.clip_frames == 1 else StepClipReader
    return reader(engine, manifest, source, time.perf_counter() - begin)
