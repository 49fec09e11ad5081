"""Images of videos with unusual timestamps or pixel formats, against ffmpeg 5.1.9's (Debian 12)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.bench.datasets.ffmpeg.clips import CLIPS
from tests.videos import shown_number
from vbench.bench.datasets.extract_frames import extract_video
from vbench.bench.datasets.ffmpeg.jpeg import chroma_sampling

PLAIN = [0, 1, 4, 9, 14, 19, 24, 29, 34, 39, 44, 49, 54, 59]
GAP = [0, 1, 4, 9, 14, 19, 24, *[29] * 8, 30, 31, 32, 34, 39, 44, 49, 54, 59]
RESULTS = {
    **dict.fromkeys(CLIPS, PLAIN),
    "join_both.mp4": [*PLAIN, 64, 69, 74, 79, 84, 89],
    "join_near.mp4": [0, 1, 4, 9, 14, 19, 24, *[29] * 17, 30, 31, 32, 36, 41, 46, 51, 56],
    "gap.mp4": GAP,
    "gap.mkv": GAP,
    "raw.mp4": [0, 1, 3, 8, 13, 18, 23, 28, 33, 38, 43, 48, 53, 58],
    "mpeg4.avi": [0, 1, 3, 8, 13, 18, 23, 28, 33, 38, 43, 48, 53, 58],
    "h264.avi": [0, 1, 2, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57],
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    av.logging.set_level(av.logging.PANIC)


@pytest.mark.parametrize("name", CLIPS)
def test_the_frames_that_ffmpeg_picks(name: str, tmp_path: Path) -> None:
    extract_video(CLIPS[name](tmp_path / name), tmp_path / "out", 5, 64)
    assert [shown_number(path) for path in sorted((tmp_path / "out").iterdir())] == RESULTS[name]


def test_the_frames_of_a_truncated_video_are_flushed(tmp_path: Path) -> None:
    clip = CLIPS["mpeg4.mkv"](tmp_path / "clip.mkv")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    extract_video(clip, tmp_path / "out", 25, 64)
    numbers = [shown_number(path) for path in sorted((tmp_path / "out").iterdir())]
    assert numbers == list(range(numbers[-1] + 1))
    assert len(numbers) > 20


@pytest.mark.parametrize(
    ("pixels", "sampling"),
    [
        *[(name, "444") for name in ("rgb24", "bgra", "gbrp10le", "pal8", "gray", "ya8", "yuv444p", "yuva444p")],
        *[(name, "444") for name in ("yuv440p", "monow", "rgb555le")],
        *[(name, "422") for name in ("yuv422p", "yuv422p10le", "yuv411p", "uyvy422", "yuvj422p")],
        *[(name, "420") for name in ("yuv420p", "yuv420p10le", "yuva420p", "nv12", "yuv410p")],
    ],
)
def test_sampling_with_the_least_loss(pixels: str, sampling: str) -> None:
    assert chroma_sampling(av.VideoFormat(pixels)) == sampling


def ramp() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """An image whose columns alternate between red and blue: half the color resolution would blend them."""
    image = np.zeros((64, 80, 3), np.uint8)
    image[:, ::2, 0], image[:, 1::2, 2] = 200, 200
    return image


@pytest.mark.parametrize(
    ("codec", "pixels", "factors"),
    [
        *[("ffv1", "bgra", (1, 1)), ("ffv1", "yuv444p", (1, 1)), ("ffv1", "gray", (1, 1))],
        *[("ffv1", "yuv411p", (2, 1)), ("ffv1", "yuv422p", (2, 1)), ("ffv1", "yuv420p", (2, 2))],
    ],
)
def test_jpegs_keep_the_color_resolution(codec: str, pixels: str, factors: tuple[int, int], tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = 80, 64, pixels
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(), format="rgb24")))
        container.mux(stream.encode(None))
    extract_video(tmp_path / "clip.mkv", tmp_path / "out", 5, 64)
    with Image.open(tmp_path / "out" / "frame_0001.jpeg") as image:
        (_, width, height, _), (_, chroma_width, chroma_height, _), _ = image.layer  # type: ignore[attr-defined]
        assert (width // chroma_width, height // chroma_height) == factors
        if factors == (1, 1) and pixels != "gray":
            assert np.abs(np.asarray(image.convert("RGB"), int) - ramp()).mean() < 3
