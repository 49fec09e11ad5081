"""Edit lists of MP4 files: the frames shown are those that FFmpeg shows, and hidden frames do not count as missing."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.videos import save_moving
from vbench.runtime.video.full_decoder import Decoder
from vbench.runtime.video.orientation import to_rgb
from vbench.runtime.video.video_file import VideoFrames

FRAMES, TICKS = 60, 512  # ticks per frame, of 12,800 per second
NORMAL_RATE = 1 << 16  # rate 1, as a 16.16 number
CODECS = {
    "libx264": {"x264-params": "bframes=3:b-adapt=0:scenecut=0"},
    "libx265": {"x265-params": "bframes=3:log-level=none"},
    "mpeg4": {"bf": "2"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edits")


def movie(folder: Path, codec: str) -> Path:
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no encoder {codec}")
    path = folder / f"{codec}.mp4"
    return path if path.exists() else save_moving(path, codec, FRAMES, 12, CODECS[codec])


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    return [to_rgb(frame) for frame in Decoder(path)]


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def edited(path: Path, target: Path, edits: list[tuple[float, float | None, int]]) -> Path:
    """Replace the edit list of an MP4 whose index is last.

    Each edit has the number of frames that it lasts, the first frame that it shows (None for nothing), and its rate.
    """
    content = path.read_bytes()
    start = content.rindex(b"moov") - 4
    moov = content[start + 8 :]
    first = int.from_bytes(moov[moov.index(b"elst") + 16 :][:4], "big")  # delay of the first frame, by B-frames
    entries = b"".join(
        struct.pack(">IiI", round(lasts * 40), -1 if begin is None else first + round(begin * TICKS), rate)
        for lasts, begin, rate in edits
    )
    edts = box(b"edts", box(b"elst", struct.pack(">II", 0, len(edits)) + entries))
    track = moov.index(b"trak") - 4
    track_bytes = int.from_bytes(moov[track : track + 4], "big")
    trak = moov[track + 8 : track + track_bytes]
    place = trak.index(b"edts") - 4
    trak = trak[:place] + edts + trak[place + int.from_bytes(trak[place : place + 4], "big") :]
    target.write_bytes(content[:start] + box(b"moov", moov[:track] + box(b"trak", trak) + moov[track + track_bytes :]))
    return target


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("begin", "end"), [(0, 30), (20, 60), (20, 40), (12, 24), (17, 18), (59, 60)])
def test_lossless_trim(folder: Path, tmp_path: Path, codec: str, begin: int, end: int) -> None:
    whole = frames_of(movie(folder, codec))
    path = edited(movie(folder, codec), tmp_path / "trimmed.mp4", [(end - begin, begin, NORMAL_RATE)])
    source = VideoFrames(path)
    assert len(source) == end - begin
    for position in reversed(range(end - begin)):
        np.testing.assert_array_equal(source.read(position), whole[begin + position])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "edits",
    [
        [(25, None, NORMAL_RATE), (60, 0, NORMAL_RATE)],
        [(25, None, NORMAL_RATE), (20, 14, NORMAL_RATE)],
        [(10, 5, NORMAL_RATE), (10, 33, NORMAL_RATE)],
        [(10, 33, NORMAL_RATE), (10, 5, NORMAL_RATE)],
        [(10, 5, NORMAL_RATE), (10, 5, NORMAL_RATE)],
        [(5, 10, 0), (20, 20, NORMAL_RATE)],
        [(10.5, 5.5, NORMAL_RATE)],
    ],
    ids=["late", "late and trimmed", "two parts", "parts reversed", "part twice", "dwell", "in between"],
)
def test_frames_are_those_of_a_full_decode(
    folder: Path, tmp_path: Path, codec: str, edits: list[tuple[float, float | None, int]]
) -> None:
    path = edited(movie(folder, codec), tmp_path / "edited.mp4", edits)
    shown = frames_of(path)
    source = VideoFrames(path)
    assert len(source) == len(shown)
    source.expect(range(len(shown)))
    for position in [*range(0, len(shown), 3), *range(len(shown) - 1, 0, -3)]:
        np.testing.assert_array_equal(source.read(position), shown[position])
