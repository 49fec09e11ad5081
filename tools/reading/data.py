"""The clips: ten moving pictures each, as normalized pixels, as a folder of JPEG images, and as an H.264 file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.golden.make_clips import uint8_clip
from vbench.runtime.engines.base import Engine
from vbench.runtime.video.image_file import read_image

SOURCES = ("pixels", "JPEG folders", "H.264")
_HEIGHT, _WIDTH, _MARGIN = 256, 320, 60
_PICTURES, _FRAMES_EACH, _KEY_FRAME_INTERVAL = 10, 30, 60
_ENCODER = {"x264-params": f"scenecut=0:keyint={_KEY_FRAME_INTERVAL}:min-keyint={_KEY_FRAME_INTERVAL}", "crf": "23"}


def write_clips(folder: Path, count: int) -> None:
    """Write clips as folders of ten JPEG images and as videos of 300 frames with a key frame every 60, if missing."""
    for index in range(count):
        images, video = image_folder(folder, index), video_file(folder, index)
        if video.exists():
            continue
        images.mkdir(parents=True, exist_ok=True)
        video.parent.mkdir(parents=True, exist_ok=True)
        partial = video.with_suffix(".partial")
        with av.open(str(partial), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=30, options=_ENCODER)
            stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
            for number, frame in enumerate(_frames(index)):
                if number % _FRAMES_EACH == _FRAMES_EACH // 2:
                    Image.fromarray(frame).save(images / f"{number:05d}.jpeg", quality=90)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        partial.rename(video)


def write_pixels(folder: Path, count: int, engine: Engine) -> None:
    """Write the pixels of the JPEG images, float32 ``[10, 3, size, size]``, as ``engine`` computes them."""
    for index in range(count):
        frames = [read_image(path)[None] for path in sorted(image_folder(folder, index).iterdir())]
        pixels = [engine.get(engine.run("preprocess", engine.put(frame))) for frame in frames]
        np.save(pixel_file(folder, index), np.concatenate(pixels))


def clip_paths(folder: Path, count: int) -> dict[str, list[str]]:
    """Return the paths of all clips, by source."""
    places = dict(zip(SOURCES, (pixel_file, image_folder, video_file), strict=True))
    return {source: [str(place(folder, index)) for index in range(count)] for source, place in places.items()}


def pixel_file(folder: Path, index: int) -> Path:
    """Return the path of a clip's normalized pixels."""
    return folder / f"{index:03d}.npy"


def image_folder(folder: Path, index: int) -> Path:
    """Return the path of a clip's folder of images."""
    return folder / "jpeg" / f"{index:03d}"


def video_file(folder: Path, index: int) -> Path:
    """Return the path of a clip's video; all videos together are a data set with a single class."""
    return folder / "h264" / "clips" / f"{index:03d}.mp4"


def _frames(index: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a clip, uint8 RGB ``[256, 320, 3]``: every picture moves diagonally for a second."""
    for picture in uint8_clip(0, index, _HEIGHT + _MARGIN, _WIDTH + _MARGIN, _PICTURES):
        for shift in range(0, 2 * _FRAMES_EACH, 2):
            yield np.ascontiguousarray(picture[shift : shift + _HEIGHT, shift : shift + _WIDTH])
