from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.shared import CLIPS, clip_rows, needs_shared
from tests.videos import picture, save_picture, save_video
from vbench.errors import FrameError
from vbench.runtime.video.open import open_frames
from vbench.runtime.video.source import ArrayFrames, FolderFrames
from vbench.runtime.video.video_file import VideoFrames


@pytest.fixture(autouse=True)
def _quiet() -> None:
    av.logging.set_level(av.logging.PANIC)


def test_array_frames() -> None:
    frames = np.stack([picture(level) for level in (0, 50, 100)])
    source = open_frames(frames)
    assert len(source) == 3
    source.expect([2, 0, 2])
    for reads, position in enumerate([2, 0, 2], start=1):
        np.testing.assert_array_equal(source.read(position), frames[position])
        assert source.frames_decoded == reads


def test_closed_sources_raise(tmp_path: Path) -> None:
    save_picture(tmp_path / "folder" / "frame_1.png")
    save_video(tmp_path / "clip.mp4")
    for source in (np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "folder", tmp_path / "clip.mp4"):
        frames = open_frames(source)
        frames.close()
        frames.close()
        with pytest.raises(FrameError, match="is closed"):
            frames.read(0)
        with pytest.raises(FrameError, match="is closed"):
            frames.expect([0])


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 8, 8, 1), (8, 8, 3)])
def test_array_of_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match=r"uint8 RGB array \[T, H, W, 3\]"):
        ArrayFrames(np.zeros(shape, np.uint8))


def test_array_of_wrong_dtype() -> None:
    with pytest.raises(FrameError, match="float32"):
        open_frames(np.zeros((2, 8, 8, 3), np.float32))  # type: ignore[arg-type]


def test_folder_sorts_names_as_strings(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        save_picture(tmp_path / f"frame_{number}.png", level=number)
    (tmp_path / "notes.txt").write_text("not an image")
    source = open_frames(tmp_path)
    assert len(source) == 3
    for position, number in enumerate((1, 10, 2)):
        np.testing.assert_array_equal(source.read(position), picture(number))


def test_folder_decodes_a_repeated_image_once(tmp_path: Path) -> None:
    for number in (1, 2):
        save_picture(tmp_path / f"frame_{number}.png", level=number)
    source = open_frames(tmp_path)
    source.expect([1, 0, 1, 1])
    decoded = []
    for position in (1, 0, 1, 1, 1):
        np.testing.assert_array_equal(source.read(position), picture(position + 1))
        decoded.append(source.frames_decoded)
    assert decoded == [1, 2, 2, 2, 3]  # the last one was no longer expected


def test_original_folder_accepts_only_jpeg(tmp_path: Path) -> None:
    save_picture(tmp_path / "frame_0001.jpg")
    with pytest.raises(FrameError, match=r"no images; add files whose names end in \.jpeg"):
        FolderFrames(tmp_path, (".jpeg",))


def test_folder_without_frames(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="contains no images"):
        open_frames(tmp_path)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_image_that_is_not_rgb(tmp_path: Path, mode: str) -> None:
    save_picture(tmp_path / "frame_0001.jpeg", mode)
    with pytest.raises(FrameError, match=rf"frame_0001\.jpeg is an image in mode {mode}; convert it to RGB"):
        open_frames(tmp_path).read(0)


@pytest.mark.parametrize("keep", [0, 5, 600])
def test_truncated_image(tmp_path: Path, keep: int) -> None:
    path = save_picture(tmp_path / "frame_0001.jpeg")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FrameError, match=r"cannot decode .*frame_0001\.jpeg"):
        open_frames(tmp_path).read(0)


def test_deleted_image(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "frame_0001.jpeg")
    source = open_frames(tmp_path)
    path.unlink()
    with pytest.raises(FrameError, match="does not exist"):
        source.read(0)


def test_video_reads_any_order(tmp_path: Path) -> None:
    source = open_frames(save_video(tmp_path / "clip.mp4"))
    assert len(source) == 12
    levels = [source.read(position).mean() for position in (11, 0, 5, 5)]
    np.testing.assert_allclose(levels, [165, 0, 75, 75], atol=4)


@pytest.mark.parametrize("position", [-1, 12])
def test_positions_out_of_range(tmp_path: Path, position: int) -> None:
    source = open_frames(save_video(tmp_path / "clip.mp4"))
    for call in (source.read, lambda position: source.expect([0, position])):
        with pytest.raises(FrameError, match=f"no frame {position}; choose a frame from 0 to 11"):
            call(position)


def test_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("plain text\n" * 50)
    whole = save_video(tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    for name, message in {
        "absent.mp4": "does not exist",
        "empty.mp4": "is empty",
        "text.mp4": "cannot open",
        "half.mp4": "cannot open",
    }.items():
        with pytest.raises(FrameError, match=rf"{name}.*{message}|{message}.*{name}") as error:
            open_frames(tmp_path / name)
        assert error.value.hint
        assert "\n" not in str(error.value)


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(FrameError, match="no video stream"):
        open_frames(path)


@needs_shared
@pytest.mark.parametrize("row", clip_rows(), ids=lambda row: row["file"])
def test_real_clips(row: dict[str, str]) -> None:
    path = CLIPS / row["file"]
    if not row["codec"] or row["category"] == "truncated":
        with pytest.raises(FrameError):
            open_frames(path)
        return
    source = VideoFrames(path)
    # the index of the damaged file declares more frames than can be decoded
    assert len(source) == int(row["header_frames" if row["file"] == "corrupted.mp4" else "decoded_frames"])
    height, width = int(row["height"]), int(row["width"])
    turned = (width, height, 3) if row["rotation"] in ("90", "-90") else (height, width, 3)
    assert source.read(0).shape == turned


# mean brightness of the first frame that ffmpeg writes, by quarter: upper left and right, lower left and right
TURNED = {
    90: [106.4, 108.2, 75.1, 88.9],
    180: [117.8, 124.4, 96.2, 105.8],
    270: [149.7, 147.8, 99.3, 89.3],
}


@needs_shared
@pytest.mark.parametrize("degrees", TURNED)
def test_rotated_videos_are_shown_upright(degrees: int) -> None:
    frame = open_frames(CLIPS / f"rotate_{degrees}.mov").read(0)
    quarters = [part.mean() for half in np.array_split(frame, 2) for part in np.array_split(half, 2, axis=1)]
    np.testing.assert_allclose(quarters, TURNED[degrees], atol=1.0)
