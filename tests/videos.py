"""Small images and videos generated on the fly, so that tests of bad input need no external files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(level: int = 0, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Return a diagonal ramp, brighter with `level`."""
    ramp = np.add.outer(np.arange(height), np.arange(width)) * 2 + level
    return np.repeat(ramp[..., None] % 256, 3, axis=2).astype(np.uint8)


def save_picture(path: Path, mode: str = "RGB", level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(level)).convert(mode).save(path)
    return path


def save_video(path: Path, frames: int = 12, rate: int = 10, height: int = 64, width: int = 80) -> Path:
    """Write a video whose frame i has uniform brightness 15 * i (modulo 256)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            level = np.full((height, width, 3), 15 * index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def save_moving(
    path: Path,
    codec: str = "libx264",
    frames: int = 60,
    gop: int = 12,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    rate: str = "25",
) -> Path:
    """Write a small video of distinct, interdependent frames: a moving noise pattern.

    ``options`` are the encoder's options; ``muxer`` are the container's options, and ``format`` is its name.
    """
    noise = np.random.default_rng(0).integers(0, 256, (48 + frames, 64 + frames, 3), dtype=np.uint8)
    noise = noise // 4 + picture(height=48 + frames, width=64 + frames) // 2
    muxer = dict(muxer or {})
    with av.open(str(path), "w", format=muxer.pop("format", None), options=muxer) as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options or {})
        pixels = {"mjpeg": "yuvj420p", "gif": "rgb8", "apng": "rgb24"}.get(codec, "yuv420p")
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        for index in range(frames):
            shown = np.ascontiguousarray(noise[index : index + 48, index // 2 : index // 2 + 64])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def save_numbered(
    path: Path,
    numbers: Iterable[int] = range(60),
    codec: str = "libx264",
    muxer: str | None = None,
    start_s: float = 0.0,
    b_frames: int = 2,
    retime: Callable[[av.Packet[Any]], None] = lambda _packet: None,
) -> Path:
    """Write a video of 25 frames/s whose frames show their number: eight blocks, the first is bit 0, white is 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=25, options={"b-adapt": "0"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        stream.codec_context.max_b_frames, stream.codec_context.gop_size = b_frames, 12
        stream.codec_context.thread_count = 1
        for position, number in enumerate(numbers):
            blocks = np.repeat([235 if number >> bit & 1 else 20 for bit in range(8)], 16)
            image = np.broadcast_to(blocks[None, :, None], (64, 128, 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = position
            _mux(container, stream.encode(frame), start_s, retime)
        _mux(container, stream.encode(None), start_s, retime)
    return path


def _mux(container: Any, packets: list[av.Packet[Any]], start_s: float, retime: Callable[..., None]) -> None:
    for packet in packets:
        shift = round(start_s / float(packet.time_base))
        packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
        retime(packet)
        container.mux(packet)


def shown_number(path: Path) -> int:
    """Return the number that an image of a video of `save_numbered` shows."""
    gray = np.asarray(Image.open(path).convert("L"), float)
    block = gray.shape[1] // 8
    return sum(int(gray[:, bit * block + 4 : bit * block + block - 4].mean() > 127) << bit for bit in range(8))
