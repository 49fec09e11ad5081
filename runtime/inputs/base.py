"""Clip inputs: accepted clip types, the reader that produces pixels step by step, and what reading costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ..engines.base import Engine, Handle, TakesDeviceFrames
from ..video.dlpack import Frame, device_of, host_frame
from ..video.open import open_frames
from ..video.source import ArrayFrames, FrameSource, ImageFileFrames
from ..video.video_file import VideoFrames
from .reader_threads import call_bounded, is_abandoned

LARGEST_PIXEL = float(np.finfo(np.float16).max)  # far above any normalized pixel, but finite in half precision

Clip = str | Path | NDArray[np.uint8] | NDArray[np.float32] | FrameSource
_USUAL_FRAME_RATE = 30.0
OpenSource = Callable[[], FrameSource]


@dataclass(frozen=True)
class NamedClip:
    """A clip, or a function that opens one, with the name that the policy sees."""

    name: str
    clip: Any


def named_clip(clip: Any) -> NamedClip:
    """Return the clip with its name; an unnamed file is named after its path."""
    if isinstance(clip, NamedClip):
        return clip
    return NamedClip(str(clip) if isinstance(clip, str | Path) else "", clip)


@dataclass
class ReadCost:
    """Cost of reading a clip so far.

    Attributes:
        frames_read: number of frames requested.
        frames_decoded: number of frames decoded, including those needed only to decode a requested frame. A read in
            progress counts as one frame.
        decode_s: time spent opening, seeking and decoding.
        preprocess_s: time spent converting frames to pixels.
        frames_replaced: number of unreadable frames for which the source substituted others.
    """

    frames_read: int = 0
    frames_decoded: int = 0
    decode_s: float = 0.0
    preprocess_s: float = 0.0
    frames_replaced: int = 0


class Reader(Protocol):
    """Produces the pixels of a clip step by step; used by one thread at a time."""

    cost: ReadCost

    def read(self, step: int, out: Handle | None = None) -> Handle:
        """Return the pixels for a step (1-based, in order), in ``out`` if given; the network defines the shape.

        Raises:
            FrameError: a frame cannot be read.
        """
        ...

    def close(self) -> None:
        """Release the clip; may be called from another thread and interrupts a read in progress."""
        ...


def check_pixels(clip: NDArray[np.float32]) -> None:
    """Raise FrameError unless every normalized pixel is finite in half precision.

    Checking the results instead would not be enough, because some engines compute 0 for the ReLU of a NaN.
    """
    low, high = float(clip.min(initial=0)), float(clip.max(initial=0))  # NaN if the clip contains one
    if not -LARGEST_PIXEL <= low <= high <= LARGEST_PIXEL:
        value = "NaN" if math.isnan(low) else f"{high if high > LARGEST_PIXEL else low:g}"
        raise FrameError(f"the float32 clip contains the pixel value {value}", "pass finite, normalized pixels")


def read_frame(source: FrameSource, position: int, cost: ReadCost) -> Frame:
    """Return a frame of a source, uint8 RGB ``[H, W, 3]``, and add the decoding cost to ``cost``.

    Raises:
        FrameError: the frame cannot be read.
    """
    begin = time.perf_counter()
    cost.frames_decoded += 1
    try:
        frame = (
            source.read(position) if isinstance(source, ArrayFrames) else call_bounded(lambda: source.read(position))
        )
        if is_abandoned():  # nothing is waiting for the frame anymore, and the engine may be in use elsewhere
            raise FrameError("the read was abandoned", "exclude the video")
        return frame
    finally:
        cost.decode_s += time.perf_counter() - begin
        cost.frames_decoded = source.frames_decoded
        cost.frames_replaced = getattr(source, "replaced", 0)


def preprocess(engine: Engine, frame: Frame, out: Handle | None = None) -> Handle:
    """Return the pixels of a frame, in ``out`` if given.

    Raises:
        FrameError: the frame is not uint8 RGB ``[H, W, 3]``, or is on a device that the engine does not read from.
    """
    device = device_of(frame)
    if device is None:
        frames = engine.put(np.ascontiguousarray(host_frame(frame)[None]))
    elif isinstance(engine, TakesDeviceFrames):
        frames = engine.put_device_frame(frame)
    else:
        raise FrameError(
            f"the frame is on {device}, but the {engine.name} engine preprocesses in host memory",
            "return frames in host memory, or use an engine that preprocesses on the device",
        )
    return engine.run("preprocess", frames, out=out)


def write_clip(engine: Engine, source: FrameSource, positions: Sequence[int], out: Handle, cost: ReadCost) -> None:
    """Write the pixels of the frames at ``positions`` to ``out``, ``[crops, T, 3, h, w]``; add the cost to ``cost``.

    A position equal to the previous one is not read again.

    Raises:
        FrameError: a frame cannot be read.
    """
    crops, count, *frame_shape = out.shape
    rows = engine.view(out, (crops * count, *frame_shape))
    pixels: Handle = None
    for place, position in enumerate(positions):
        repeated = place > 0 and position == positions[place - 1]
        frame = None if repeated else read_frame(source, position, cost)
        cost.frames_read += 1
        begin = time.perf_counter()
        if frame is not None:
            pixels = engine.view(preprocess(engine, frame), (crops, *frame_shape))
        for crop in range(crops):
            row = crop * count + place
            engine.copy(engine.rows(pixels, crop, crop + 1), engine.rows(rows, row, row + 1))
        cost.preprocess_s += time.perf_counter() - begin


def without_repeats(positions: Sequence[int]) -> tuple[int, ...]:
    """Return the positions that `write_clip` actually reads."""
    return tuple(place for number, place in enumerate(positions) if number == 0 or place != positions[number - 1])


def frame_rate(source: FrameSource) -> float:
    """Return a source's frame rate in frames per second, or 30 if it has no timestamps (images, arrays)."""
    return float(getattr(source, "frame_rate", 0) or _USUAL_FRAME_RATE)


def close_source(source: FrameSource) -> None:
    """Close a source; if a user-defined source hangs, abandon the call."""
    if isinstance(source, ArrayFrames | ImageFileFrames | VideoFrames):
        source.close()
    else:
        call_bounded(source.close)


def open_source(clip: object) -> FrameSource:
    """Return the frame source for a clip, which may be a path, an array, a source, or a function that opens one.

    Raises:
        FrameError: the clip is of any other type, or cannot be opened.
    """
    if isinstance(clip, (str, Path, np.ndarray)):
        return open_frames(clip)
    source = clip() if callable(clip) else clip
    if not hasattr(source, "expect"):
        raise FrameError(
            f"a clip cannot be of type {type(clip).__name__}", "pass a video file, a folder of images or an array"
        )
    return cast(FrameSource, source)
