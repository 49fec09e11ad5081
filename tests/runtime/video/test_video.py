"""Frames on demand from video files: identical to a full decode, with no more decoding than necessary."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.shared import CLIPS, clip_rows, needs_shared
from tests.videos import save_moving, save_video
from vbench.errors import FrameError
from vbench.runtime.video import segment_decoder
from vbench.runtime.video.container import ffmpeg_score, video_streams
from vbench.runtime.video.full_decoder import Decoder
from vbench.runtime.video.orientation import to_rgb
from vbench.runtime.video.packets import read_packets
from vbench.runtime.video.progress import Progress, observe
from vbench.runtime.video.sampling import linspace_positions
from vbench.runtime.video.seeking_reader import SeekingReader
from vbench.runtime.video.video_file import VideoFrames

ORDER = (5, 0, 9, 2, 7, 4, 6, 3, 8, 1)
X264_OPEN = {"x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
# file name: encoder, key frame interval, options, whether it has an index
KINDS: dict[str, tuple[str, int, dict[str, str], bool]] = {
    "closed.mp4": ("libx264", 12, {}, True),
    "closed.mkv": ("libx264", 12, {}, True),
    "open.mp4": ("libx264", 12, X264_OPEN, True),
    "open.mkv": ("libx264", 12, X264_OPEN, True),
    "pyramid.mp4": ("libx264", 16, {"x264-params": "open-gop=1:bframes=7:b-adapt=0:b-pyramid=2:ref=5"}, True),
    "no_b.mp4": ("libx264", 20, {"x264-params": "bframes=0"}, True),
    "intra.mp4": ("libx264", 1, {}, True),
    "one_key.mp4": ("libx264", 300, {"x264-params": "scenecut=0"}, True),
    "refresh.mp4": ("libx264", 12, {"x264-params": "intra-refresh=1:bframes=0"}, True),
    "hevc_open.mp4": ("libx265", 12, {"x265-params": "open-gop=1:bframes=4:b-adapt=0:log-level=none"}, True),
    "vp9.webm": ("libvpx-vp9", 12, {"deadline": "realtime", "cpu-used": "8"}, True),
    "fields.mp4": ("libx264", 12, {"x264-params": "interlaced=1:tff=1"}, False),
    "stream.ts": ("libx264", 12, {}, False),
    "vp8.webm": ("libvpx", 12, {"deadline": "realtime", "cpu-used": "8"}, False),
    "mpeg4.avi": ("mpeg4", 12, {"bf": "2"}, False),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("moving")


def moving(folder: Path, name: str) -> Path:
    codec, gop, options, _ = KINDS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no encoder {codec}")
    path = folder / name
    return path if path.exists() else save_moving(path, codec, gop=gop, options=options)


@cache
def whole(path: Path) -> list[NDArray[np.uint8]]:
    """Return every frame, from a full decode of the file."""
    return [to_rgb(frame) for frame in Decoder(path)]


def sampled(length: int) -> list[int]:
    positions = linspace_positions(length, 10)
    return [positions[place] for place in ORDER]


def check_reads(path: Path, positions: list[int], expected: list[int]) -> VideoFrames:
    source = VideoFrames(path)
    source.expect(expected)
    for position in positions:
        np.testing.assert_array_equal(source.read(position), whole(path)[position], err_msg=f"frame {position}")
        assert len(source._kept) <= len(set(expected))
    source.close()
    return source


def is_indexed(source: VideoFrames) -> bool:
    return isinstance(source._reader, SeekingReader)


@pytest.mark.parametrize("name", KINDS)
def test_frames_equal_those_of_a_full_decode(folder: Path, name: str) -> None:
    path = moving(folder, name)
    length = len(whole(path))
    source = check_reads(path, sampled(length), sampled(length))
    assert (len(source), is_indexed(source)) == (length, KINDS[name][3])
    once_more = name == "refresh.mp4"  # its key frames are false, which is detected at the first one
    passes = 1 if is_indexed(source) else 2
    assert source.frames_decoded <= passes * length + once_more
    check_reads(path, list(range(length))[::7], [])


def test_cost_of_detecting_false_key_frames(folder: Path) -> None:
    path = moving(folder, "refresh.mp4")
    source = check_reads(path, [3, 30, 59], [3, 30, 59])
    assert source.frames_decoded == 4 + 1 + 60  # up to frame 3, the false key frame 24, and the file from the start


@settings(max_examples=60)
@given(data=st.data())
def test_any_order(folder: Path, data: st.DataObject) -> None:
    path = moving(folder, data.draw(st.sampled_from([name for name in KINDS if KINDS[name][3]])))
    positions = data.draw(st.lists(st.integers(0, len(whole(path)) - 1), min_size=1, max_size=12))
    source = check_reads(path, positions, positions)
    # the key frames of "refresh" are false: frames decoded before this is detected are decoded again
    assert source.frames_decoded <= len(source) * (2 if path.name == "refresh.mp4" else 1)
    unexpected = data.draw(st.lists(st.sampled_from(positions), max_size=4))
    check_reads(path, positions, unexpected)


@needs_shared
@pytest.mark.parametrize("row", clip_rows(), ids=lambda row: row["file"])
def test_real_clips(row: dict[str, str]) -> None:
    if not row["codec"] or row["decode_error"]:
        pytest.skip("cannot be decoded")
    path = CLIPS / row["file"]
    if row["category"] == "truncated":
        with pytest.raises(FrameError, match="is truncated: it contains 261807 of 436346 bytes"):
            VideoFrames(path)
        return
    length = int(row["decoded_frames"])
    source = check_reads(path, sampled(length), sampled(length))
    assert source.frames_decoded <= (1 if is_indexed(source) else 2) * length
    positions = random.Random(0).choices(range(length), k=6)
    check_reads(path, positions, positions)
    whole.cache_clear()  # a decoded 1080p clip takes 400 MB


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("percent", [30, 60, 90])
def test_truncated_file(tmp_path: Path, container: str, percent: int) -> None:
    """The demuxer reports no error; the sizes that the file declares reveal the truncation."""
    path = save_moving(tmp_path / f"whole.{container}", frames=200)
    assert len(VideoFrames(path)) == 200
    content = faststart(path).read_bytes() if container == "mp4" else path.read_bytes()
    cut = tmp_path / f"cut.{container}"
    cut.write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(FrameError, match=r"is truncated: it contains .*; copy the file again"):
        VideoFrames(cut)


def faststart(path: Path) -> Path:
    """Write the index of an MP4 before its frames, so that truncation leaves the index intact."""
    moved = path.with_name("faststart.mp4")
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return moved


def record_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives the positions of all frames returned by decoders from now on."""
    seen: list[int] = []
    with_positions = segment_decoder.SegmentDecoder._with_positions

    def recording(self: segment_decoder.SegmentDecoder, frames: Any) -> list[segment_decoder.PositionedFrame]:
        decoded = with_positions(self, frames)
        seen.extend(position for position, _ in decoded)
        return decoded

    monkeypatch.setattr(segment_decoder.SegmentDecoder, "_with_positions", recording)
    return seen


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "pyramid.mp4", "one_key.mp4", "hevc_open.mp4", "vp9.webm"])
def test_no_frame_is_decoded_twice(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = moving(folder, name)
    seen = record_decoded(monkeypatch)
    for seed in range(20):
        seen.clear()
        positions = random.Random(seed).sample(range(60), 10)
        check_reads(path, positions, positions)
        assert len(seen) == len(set(seen))


def test_first_read_decodes_only_preceding_frames(folder: Path) -> None:
    source = VideoFrames(moving(folder, "one_key.mp4"))
    source.expect(sampled(60))
    assert source.frames_decoded == 0
    source.read(33)
    source.close()
    assert 0 < source.frames_decoded <= 34
    closed = VideoFrames(moving(folder, "closed.mp4"))
    closed.expect(sampled(60))
    closed.read(33)
    closed.close()
    assert closed.frames_decoded <= 12  # one GOP


def test_all_key_frames(folder: Path) -> None:
    source = VideoFrames(moving(folder, "intra.mp4"))
    source.expect(sampled(60))
    for step, position in enumerate(sampled(60), start=1):
        source.read(position)
        assert source.frames_decoded == step


def test_files_are_closed_after_the_last_expected_read(folder: Path) -> None:
    source = VideoFrames(moving(folder, "closed.mp4"))
    assert isinstance(source._reader, SeekingReader)
    source.expect(sampled(60))
    counts = []
    for position in sampled(60):
        source.read(position)
        counts.append(len(source._reader._open()))
    assert max(counts) <= 5  # GOPs
    assert counts[-1] == 0
    assert not source._kept


def test_short_video_repeats_positions(tmp_path: Path) -> None:
    path = save_moving(tmp_path / "short.mp4", frames=4)
    source = check_reads(path, sampled(4), sampled(4))
    assert source.frames_decoded == 4
    assert not source._kept


def test_error_of_a_damaged_file_names_the_frame(folder: Path, tmp_path: Path) -> None:
    path = moving(folder, "one_key.mp4")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        place, size = packets[40].pos, packets[40].size
    assert place is not None
    data[place : place + size] = b"\xff" * size
    (tmp_path / "damaged.mp4").write_bytes(data)
    source = VideoFrames(tmp_path / "damaged.mp4")
    source.expect([5, 55])
    np.testing.assert_array_equal(source.read(5), whole(path)[5])
    with pytest.raises(FrameError, match=r"damaged\.mp4: .*frame \d+.*; frame 55 cannot be decoded: .*") as error:
        source.read(55)
    assert "\n" not in str(error.value)


@needs_shared
def test_damaged_clip() -> None:
    path = CLIPS / "corrupted.mp4"
    source = VideoFrames(path)
    for position in (27, 3):
        np.testing.assert_array_equal(source.read(position), whole(path)[position])
    with pytest.raises(FrameError, match=r"corrupted\.mp4: decoding failed at frame 30: Invalid data found"):
        source.read(40)


def test_file_truncated_while_it_is_read(tmp_path: Path) -> None:
    path = save_moving(tmp_path / "cut.mkv", options={"crf": "1"})  # more than is buffered
    data = path.read_bytes()
    source = VideoFrames(path)
    path.write_bytes(data[:5000])
    with pytest.raises(FrameError, match=r"cut\.mkv changed while it was being read"):
        source.read(20)
    counted = VideoFrames(save_video(tmp_path / "gone.mp4"))
    (tmp_path / "gone.mp4").unlink()
    with pytest.raises(FrameError, match=r"cannot open .*gone\.mp4"):
        counted.read(0)


@pytest.mark.parametrize("name", ["one_key.mp4", "mpeg4.avi"])
def test_close_aborts_a_read_in_progress(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = VideoFrames(moving(folder, name))
    before = source.frames_decoded
    reading, closing = threading.Event(), threading.Event()
    steps = type(source._reader).steps

    def slow(self: Any, target: int, wanted: Any) -> Any:
        for decoded in steps(self, target, wanted):
            reading.set()
            closing.wait(10)
            yield decoded

    monkeypatch.setattr(type(source._reader), "steps", slow)
    errors: list[FrameError] = []

    def read() -> None:
        try:
            source.read(59)
        except FrameError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(10)
    closer = threading.Thread(target=source.close)
    closer.start()
    while not source._closing:
        pass
    closing.set()
    thread.join(10)
    closer.join(10)
    assert "is closed" in str(errors[0])
    assert source.frames_decoded - before <= 2
    source.close()


def test_close_does_not_wait_for_a_decoder_that_hangs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that reads closes the file once the decoder returns."""
    source = VideoFrames(moving(folder, "mpeg4.avi"))
    reading, released, closed = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object) -> Any:
        reading.set()
        released.wait(60)
        yield []

    monkeypatch.setattr(source._reader, "steps", hang)
    monkeypatch.setattr(source._reader, "close", closed.set)

    def read() -> None:
        with pytest.raises(FrameError, match="is closed"):
            source.read(3)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(10)
    source.close()
    assert not closed.is_set()
    released.set()
    assert closed.wait(10)
    thread.join(10)


def test_a_stream_that_begins_late_does_not_hide_the_end(folder: Path) -> None:
    """PyAV lists the streams found at the beginning; there are more once all packets have been read."""
    path = moving(folder, "stream.ts")

    class LateStream:
        def demux(self, stream: object) -> Iterator[object]:
            yield from container.demux(stream)
            raise IndexError("list index out of range")

    with av.open(str(path)) as container:
        packets: list[Any] = list(read_packets(LateStream(), container.streams.video[0], path))  # type: ignore[arg-type]
    assert len(packets) == len(whole(path)) + 1
    assert packets[-1].size == 0


def test_stream_without_a_decoder(tmp_path: Path) -> None:
    file = save_moving(tmp_path / "unknown.mp4", frames=4)
    file.write_bytes(file.read_bytes().replace(b"avc1", b"zzzz"))
    with av.open(str(file)) as container:
        assert ffmpeg_score(container.streams.video[0]) == -1
        with pytest.raises(FrameError, match="FFmpeg has no decoder for the video stream of"):
            video_streams(container, file)


def test_packets_without_end(folder: Path) -> None:
    """A demuxer that repeats itself yields more packets than the file can hold."""
    path = moving(folder, "closed.mp4")
    with av.open(str(path)) as container:
        packet = next(container.demux(video=0))
        repeated = type("Endless", (), {"demux": lambda *_: itertools.repeat(packet)})()
        progress = Progress()
        observe(progress)
        with pytest.raises(FrameError, match=r"closed\.mp4 yields more packets than it has bytes"):
            for _ in read_packets(repeated, container.streams.video[0], path):
                pass
    assert progress.count == path.stat().st_size + 1


def test_second_expect_replaces_the_first(folder: Path) -> None:
    path = moving(folder, "one_key.mp4")
    source = VideoFrames(path)
    source.expect([10, 20, 30])
    source.read(30)
    assert set(source._kept) == {10, 20}
    source.expect([20])
    assert set(source._kept) == {20}
    np.testing.assert_array_equal(source.read(10), whole(path)[10])


def test_decoders_use_one_thread(folder: Path) -> None:
    source = VideoFrames(moving(folder, "closed.mp4"))
    assert isinstance(source._reader, SeekingReader)
    assert source._reader._unused is not None
    codec = source._reader._unused.codec
    assert (codec.thread_count, str(codec.thread_type)) == (1, "ThreadType.NONE")


def test_a_last_frame_that_never_appears_is_an_error(tmp_path: Path) -> None:
    """A decoder that has passed the end of the file must not restart forever."""
    path = save_moving(tmp_path / "damaged.mp4", gop=300, options={"x264-params": "scenecut=0:bframes=0"})
    intact = [to_rgb(frame) for frame in Decoder(path)]
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        *_, last = [packet for packet in container.demux(video=0) if packet.size]
    assert last.pos is not None
    data[last.pos + 4] |= 0x1F  # the type of the NAL unit: one that decoders ignore
    path.write_bytes(data)
    for positions in ([59], [59, 3, 59], [3, 59, 20]):
        source = VideoFrames(path)
        source.expect(positions)
        for position in positions:
            if position == 59:
                with pytest.raises(FrameError, match="frame 59 cannot be decoded"):
                    source.read(position)
                continue
            np.testing.assert_array_equal(source.read(position), intact[position])
        source.close()
