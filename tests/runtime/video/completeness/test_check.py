"""Truncated videos are errors, and complete ones never are, for every container that declares its size."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from tests.shared import CASES
from tests.videos import save_moving
from vbench.errors import FrameError
from vbench.runtime.video.completeness.check import check_complete
from vbench.runtime.video.completeness.mp4_samples import Track
from vbench.runtime.video.video_file import VideoFrames

FRAMES = 24
# name: encoder, options of the muxer
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "index_first.mp4": ("libx264", {"movflags": "faststart"}),
    "index_last.mp4": ("libx264", {}),
    "hevc.mp4": ("libx265", {"movflags": "faststart"}),
    "mjpeg.mov": ("mjpeg", {"movflags": "faststart"}),
    "phone.3gp": ("mpeg4", {"movflags": "faststart"}),
    "fragments.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "segments.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov+global_sidx+dash+skip_trailer"}),
    "h264.mkv": ("libx264", {}),
    "live.mkv": ("libx264", {"live": "1"}),
    "vp8.webm": ("libvpx", {}),
    "vp9.webm": ("libvpx-vp9", {}),
    "h264.avi": ("libx264", {}),
    "mpeg4.avi": ("mpeg4", {}),
    "mjpeg.avi": ("mjpeg", {}),
    "h264.flv": ("libx264", {}),
    "sorenson.flv": ("flv", {}),
    "wmv2.wmv": ("wmv2", {}),
    "vp8.ogv": ("libvpx", {"format": "ogg"}),
    "vp8.ivf": ("libvpx", {}),
    "colors.gif": ("gif", {}),
    "animated.apng": ("apng", {}),
    "mpeg2.mxf": ("mpeg2video", {}),
    "flash.swf": ("flv", {}),
}
ENCODERS = {"libvpx": {"deadline": "realtime", "cpu-used": "8"}, "libx265": {"x265-params": "log-level=none"}}
ENCODERS["libvpx-vp9"] = ENCODERS["libvpx"]
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no {CASES} (set VBENCH_SHARED)")
every_kind = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("complete")


def video(folder: Path, name: str) -> Path:
    codec, options = KINDS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no encoder {codec}")
    path = folder / name
    return path if path.exists() else save_moving(path, codec, FRAMES, 8, ENCODERS.get(codec), options)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def patched(content: bytes, place: int, layout: str, *values: object) -> bytes:
    changed = bytearray(content)
    struct.pack_into(layout, changed, place, *values)
    return bytes(changed)


@every_kind
def test_every_truncation_is_an_error(folder: Path, tmp_path: Path, name: str) -> None:
    content = video(folder, name).read_bytes()
    assert len(VideoFrames(folder / name)) == FRAMES
    cuts = [*(len(content) * percent // 100 for percent in range(5, 100, 5)), len(content) - 30]
    for length in cuts:
        with pytest.raises(FrameError) as error:
            VideoFrames(written(tmp_path / name, content[:length]))
    if not name.startswith("index_last"):
        assert f"{name} is truncated: " in str(error.value)
        assert str(error.value).endswith("; copy the file again, or exclude the video")


@pytest.mark.parametrize("name", [name for name in KINDS if name != "vp8.ivf"])  # any bytes are a frame of an IVF
@pytest.mark.parametrize("appended", [bytes(1000), b"\n", b"written by a camera", b"\xa3\xffRIFF"], ids=len)
def test_bytes_after_the_end_are_not_truncation(folder: Path, tmp_path: Path, name: str, appended: bytes) -> None:
    path = written(tmp_path / name, video(folder, name).read_bytes() + appended)
    with av.open(str(folder / name)) as container:
        check_complete(path, container.format.name)


def test_message_counts_the_frames_of_the_index(folder: Path, tmp_path: Path) -> None:
    content = video(folder, "mjpeg.mov").read_bytes()
    with av.open(str(folder / "mjpeg.mov")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert packets[9].pos is not None
    cut = written(tmp_path / "cut.mov", content[: packets[9].pos + packets[9].size])
    with pytest.raises(FrameError, match=r"cut\.mov is truncated: it contains 10 of 24 frames; copy the file again"):
        VideoFrames(cut)
    cut = written(tmp_path / "cut.avi", video(folder, "mjpeg.avi").read_bytes()[:15000])
    with pytest.raises(FrameError, match=r"cut\.avi is truncated: it contains 15000 of \d+ bytes"):
        VideoFrames(cut)


@pytest.mark.parametrize("layout", ["rest of the file", "64 bits", "too large"])
def test_mdat_sizes_that_are_not_truncation(folder: Path, tmp_path: Path, layout: str) -> None:
    """`mdat` is last, its size is 0, in the wide form, or wrong."""
    content = video(folder, "index_first.mp4").read_bytes()
    place = content.index(b"mdat") - 4
    changed = {
        "rest of the file": patched(content, place, ">I", 0),
        "64 bits": content,
        "too large": patched(content, place, ">I", 10 * len(content)),
    }[layout]
    if layout == "64 bits":
        assert content[place - 4 : place] == b"free", "the wide header takes the room of an empty box"
        changed = patched(content, place - 8, ">I4sQ", 1, b"mdat", len(content) - place + 8)
    assert len(VideoFrames(written(tmp_path / "whole.mp4", changed))) == FRAMES


def test_avi_headers_that_are_not_truncation(folder: Path, tmp_path: Path) -> None:
    content = video(folder, "mpeg4.avi").read_bytes()
    movi = content.index(b"movi") - 8
    for changed in (
        patched(content, 48, "<I", 900),  # number of frames
        patched(content, 4, "<I", len(content)),  # size that includes its own header
        patched(content, 4, "<I", 0xFFFF_FFFF),
        patched(patched(content, 4, "<I", 0), movi + 4, "<I", 0),  # a recording that was not finished
        content[: content.index(b"idx1")].replace(content[4:8], struct.pack("<I", content.index(b"idx1") - 8), 1),
    ):
        check_complete(written(tmp_path / "whole.avi", changed), "avi")


def test_parts_of_an_open_dml_file(folder: Path, tmp_path: Path) -> None:
    """Files of more than 1 GB have several RIFF chunks, and an index in the header of where the frames' indexes are."""
    content = video(folder, "mpeg4.avi").read_bytes()
    more = b"RIFF" + struct.pack("<I", 16) + b"AVIXLIST" + struct.pack("<I", 4) + b"movi"
    check_complete(written(tmp_path / "two.avi", content + more), "avi")
    with pytest.raises(FrameError, match="is truncated"):
        check_complete(written(tmp_path / "two.avi", content + more[:-2]), "avi")
    header = content.index(b"JUNK", content.index(b"strf"))
    for end, is_complete in ((len(content), True), (len(content) + 1, False)):
        index = b"indx" + struct.pack("<IHBBI4s12xQII", 40, 4, 0, 0, 1, b"00dc", end - 500, 500, FRAMES)
        path = written(tmp_path / "part.avi", content[:header] + index + content[header + len(index) :])
        if is_complete:
            check_complete(path, "avi")
            continue
        with pytest.raises(FrameError, match=f"it contains {len(content)} of {end} bytes"):
            check_complete(path, "avi")


def test_flv_metadata(folder: Path, tmp_path: Path) -> None:
    """A file may end at any tag, so its size counts if there is no mark of the end and the duration agrees."""
    with_mark, without = video(folder, "h264.flv").read_bytes(), video(folder, "sorenson.flv").read_bytes()
    last_tag = len(without) - struct.unpack(">I", without[-4:])[0] - 4
    with pytest.raises(FrameError, match="is truncated"):
        check_complete(written(tmp_path / "cut.flv", without[:last_tag]), "flv")
    stale = [patched(content, content.index(b"filesize") + 9, ">d", 1e6) for content in (with_mark, without)]
    for content in stale:
        check_complete(written(tmp_path / "stale.flv", content), "flv")


def test_matroska_durations_do_not_count(tmp_path: Path) -> None:
    """A slide show: 10 seconds per picture, the last one held; and the tag of a longer file."""
    path = save_moving(tmp_path / "slides.mkv", "libx264", 4, rate="1/10")
    assert len(VideoFrames(path)) == 4
    content = path.read_bytes()
    place = content.index(b"DURATION") + 8 + 3
    stale = content[:place] + b"09" + content[place + 2 :]
    assert stale != content
    assert len(VideoFrames(written(tmp_path / "stale.mkv", stale))) == 4


def test_live_recordings_are_complete(folder: Path, tmp_path: Path) -> None:
    """Segment and clusters of unknown size."""
    content = video(folder, "h264.mkv").read_bytes()
    for name, size in ((b"\x18\x53\x80\x67\x01", b"\xff" * 7), (b"\x1f\x43\xb6\x75", b"\xff")):
        place = content.index(name) + len(name)
        if name == b"\x1f\x43\xb6\x75":
            length = 9 - content[place].bit_length()
            size = bytes([(1 << 9 - length) - 1]) + b"\xff" * (length - 1)
        content = content[:place] + size + content[place + len(size) :]
    check_complete(written(tmp_path / "live.mkv", content), "matroska,webm")
    blocks = content.rindex(b"\x1c\x53\xbb\x6b")  # the cues follow the last cluster
    with pytest.raises(FrameError, match="is truncated"):
        check_complete(written(tmp_path / "cut.mkv", content[: blocks - 10]), "matroska,webm")


@every_kind
def test_damaged_structures_end_the_check(folder: Path, tmp_path: Path, name: str) -> None:
    """A hostile or damaged file is an error or is passed on to the decoder, in bounded time."""
    content = video(folder, name).read_bytes()
    with av.open(str(folder / name)) as container:
        container_format = container.format.name
    random = np.random.default_rng(0)
    for _ in range(30):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[random.integers(0, min(len(content), 2000), 8)] = random.choice([0, 1, 0x7F, 0xFF], 8)
        with suppress(FrameError):
            check_complete(written(tmp_path / name, damaged.tobytes()), container_format)


@needs_cases
@pytest.mark.parametrize("case", ["edit_lists", "matroska"])
def test_complete_cases(case: str) -> None:
    with np.load(CASES / case / "pictures.npz") as pictures:
        for name, frames in pictures.items():
            source = VideoFrames(CASES / case / name)
            np.testing.assert_array_equal([source.read(position) for position in range(len(source))], frames)


@needs_cases
def test_truncated_cases() -> None:
    for name in ("cut_h264.avi", "cut_vp8.webm", "cut_whole264.mp4"):
        with pytest.raises(FrameError, match=f"{name} is truncated: "):
            VideoFrames(CASES / "cut_off" / name)
    for name in ("h264.avi", "vp8.webm"):
        assert len(VideoFrames(CASES / "cut_off" / name)) == 100


def test_equal_samples_are_counted_without_a_table_of_sizes() -> None:
    """A hostile file may state billions of samples of one size."""
    offsets, firsts = np.array([100, 400]), np.array([0, 20, 4_000_000_000])
    track = Track(True, offsets, firsts, np.array([10]))
    assert track.end == 400 + 10 * (4_000_000_000 - 20)
    assert track.samples_before(425) == 20 + 2
    assert Track(True, offsets, np.array([0, 2, 5]), np.array([10, 30, 5, 5, 5])).samples_before(411) == 4
