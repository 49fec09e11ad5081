"""Small pictures and videos made on the spot, so that bad input can be tested without any file from elsewhere."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(level: int = 0, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """A diagonal ramp, brighter with `level`."""
    ramp = np.add.outer(np.arange(height), np.arange(width)) * 2 + level
    return np.repeat(ramp[..., None] % 256, 3, axis=2).astype(np.uint8)


def save_picture(path: Path, mode: str = "RGB", level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(level)).convert(mode).save(path)
    return path


def save_video(path: Path, frames: int = 12, rate: int = 10, height: int = 64, width: int = 80) -> Path:
    """A video whose frame i has brightness 15 * i (modulo 256) everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            level = np.full((height, width, 3), 15 * index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode(None))
    return path
