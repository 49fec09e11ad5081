"""The clips of the goldens, drawn once and memory-mapped by all processes."""

from __future__ import annotations

from pathlib import Path
from typing import Union

import numpy as np
from numpy.typing import NDArray

from tests.golden.ffn2d.make_clips import LENGTH, indices, model_input, video
from tests.golden.make_clips import float_clip, uint8_clip
from vbench.runtime.bundle.manifest import Manifest

from .bundle import step_frames

Drawn = Union[NDArray[np.float32], NDArray[np.uint8]]  # noqa: UP007 - evaluated, and Python 3.10 has no | of these


def draw(folder: Path, manifest: Manifest, clips: int) -> None:
    """Draw the first ``clips`` clips as ``float`` (network input pixels) and as ``frames`` (uint8 images)."""
    frames, size = len(step_frames(manifest)), manifest.preprocessing.input_size
    pixels = [float_clip(0, index, frames=frames, size=size) for index in range(clips)]
    np.save(folder / "float.npy", np.stack(pixels))
    np.save(folder / "frames.npy", np.stack([uint8_clip(0, index, frames=frames) for index in range(clips)]))


def draw_counts(folder: Path, manifest: Manifest, clips: int) -> None:
    """Draw the first ``clips`` clips of the goldens' videos at every frame count, as network input pixels."""
    size = manifest.preprocessing.input_size
    videos = [video(index, size, size) for index in range(clips)]
    for frames in step_frames(manifest):
        chosen = [model_input(frames_of[indices(LENGTH, frames) - 1]) for frames_of in videos]
        np.save(folder / f"{kind_of(frames)}.npy", np.concatenate(chosen).reshape(clips, frames, 3, size, size))


def kind_of(frames: int) -> str:
    """Return the name of the drawn clips with ``frames`` frames."""
    return f"count_{frames:02d}"


def read(folder: Path, kind: str) -> list[Drawn]:
    """Return the drawn clips of a kind."""
    drawn = np.load(folder / f"{kind}.npy", mmap_mode="c")  # copy-on-write, because torch warns about read-only arrays
    return [np.asarray(clip) for clip in drawn]
