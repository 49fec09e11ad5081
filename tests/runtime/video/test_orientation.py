"""All eight orientations of a display matrix, from the container and from the stream, and color matrix tags."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.display import insert_sei, orientation_sei, write_matrix
from tests.shared import CASES
from tests.videos import save_moving
from vbench.errors import FrameError
from vbench.runtime.video.open import open_frames
from vbench.runtime.video.orientation import to_rgb, turn_filters

Picture = NDArray[np.uint8]

# (a, b, c, d) of the matrix: a pixel at (x, y) is displayed at (a x + c y, b x + d y), moved into the picture
ORIENTATIONS: dict[str, tuple[tuple[int, int, int, int], Callable[[Picture], Picture]]] = {
    "identity": ((1, 0, 0, 1), lambda p: p),
    "hflip": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "vflip": ((1, 0, 0, -1), lambda p: p[::-1]),
    "half turn": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counterclockwise": ((0, -1, 1, 0), lambda p: np.rot90(p)),
    "transpose": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_moving(tmp_path_factory.mktemp("plain") / "plain.mp4", frames=6, gop=3)


def read(path: Path) -> list[Picture]:
    frames = open_frames(path)
    pictures = [frames.read(position) for position in range(len(frames))]
    frames.close()
    return pictures


def assert_shown(path: Path, expected: list[Picture]) -> None:
    pictures = read(path)
    assert len(pictures) == len(expected)
    for picture, wanted in zip(pictures, expected):
        assert np.array_equal(picture, wanted)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_container_orients_every_frame(plain: Path, tmp_path: Path, name: str) -> None:
    matrix, orient = ORIENTATIONS[name]
    turned = write_matrix(plain, tmp_path / "turned.mp4", matrix)
    assert_shown(turned, [orient(picture) for picture in read(plain)])


@pytest.mark.parametrize("name", ["hflip", "clockwise", "transverse"])
def test_the_scale_and_the_offset_of_a_matrix_are_ignored(plain: Path, tmp_path: Path, name: str) -> None:
    matrix, orient = ORIENTATIONS[name]
    scaled = tuple(3 * value for value in matrix)
    turned = write_matrix(plain, tmp_path / "turned.mov", scaled, offset=(64, -7))
    assert_shown(turned, [orient(picture) for picture in read(plain)])


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, -1)])
def test_a_matrix_without_an_angle_changes_nothing(plain: Path, tmp_path: Path, matrix: tuple[int, ...]) -> None:
    assert_shown(write_matrix(plain, tmp_path / "turned.mp4", matrix), read(plain))


def test_a_small_angle_rounds_to_none_and_another_one_rotates_within_the_frame(plain: Path, tmp_path: Path) -> None:
    def turned(degrees: float) -> Path:
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return write_matrix(plain, tmp_path / f"{degrees}.mp4", (cosine, sine, -sine, cosine))

    assert_shown(turned(0.4), read(plain))
    assert_shown(turned(89.6), [np.rot90(picture, -1) for picture in read(plain)])
    for picture, before in zip(read(turned(30)), read(plain)):
        assert picture.shape == before.shape
        assert picture[:4, :4].max() < 20  # black beyond the edge of the rotated picture
        assert np.abs(picture[24, 32].astype(int) - before[24, 32]).max() < 40  # the center stays


@pytest.mark.parametrize("extension", ["mp4", "ts"])
@pytest.mark.parametrize(
    ("flips", "degrees", "name"),
    [
        ((1, 0), 0, "hflip"),
        ((0, 1), 0, "vflip"),
        ((1, 1), 0, "half turn"),
        ((0, 0), 90, "counterclockwise"),
        ((0, 0), 180, "half turn"),
        ((0, 0), 270, "clockwise"),
        ((1, 0), 90, "transpose"),
        ((0, 1), 90, "transverse"),
    ],
)
def test_a_message_in_the_stream_orients_its_frame(
    tmp_path: Path, extension: str, flips: tuple[int, int], degrees: int, name: str
) -> None:
    source = save_moving(tmp_path / f"plain.{extension}", frames=6, gop=3)
    turned = insert_sei(source, tmp_path / f"turned.{extension}", orientation_sei(*flips, degrees), lambda _: True)
    orient = ORIENTATIONS[name][1]
    assert_shown(turned, [orient(picture) for picture in read(source)])


def test_the_orientation_can_change_within_a_file(tmp_path: Path) -> None:
    source = save_moving(tmp_path / "plain.mp4", frames=6, gop=1)
    turned = insert_sei(source, tmp_path / "turned.mp4", orientation_sei(0, 0, 90), lambda number: number % 2 == 1)
    pictures = read(source)
    assert_shown(turned, [np.rot90(picture) if n % 2 else picture for n, picture in enumerate(pictures)])


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("first", [0, 7])
def test_a_message_in_an_hevc_stream_orients_all_later_frames(tmp_path: Path, extension: str, first: int) -> None:
    options = {"x265-params": "log-level=none:bframes=0"}
    source = save_moving(tmp_path / f"plain.{extension}", "libx265", frames=12, gop=4, options=options)
    message = orientation_sei(0, 1, 0, codec="hevc")
    turned = insert_sei(source, tmp_path / f"turned.{extension}", message, lambda number: number == first)
    expected = [picture[::-1] if n >= first else picture for n, picture in enumerate(read(source))]
    assert_shown(turned, expected)
    frames = open_frames(turned)
    frames.expect([11])
    assert np.array_equal(frames.read(11), expected[11])


def test_side_data_of_a_type_that_pyav_does_not_know_hides_no_orientation(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vbench.runtime.video import orientation

    class Unknown:
        def get(self, _: str) -> None:
            raise ValueError("31 is not a valid Type")

    class Frame:
        """A frame whose side data cannot be listed until the unknown entry is removed."""

        def __init__(self, frame: av.VideoFrame) -> None:
            self.frame, self.side_data = frame, Unknown()

    removed = orientation._filtered
    monkeypatch.setattr(orientation, "_filtered", lambda stub, filters: removed(stub.frame, filters))
    with av.open(str(write_matrix(plain, tmp_path / "turned.mp4", (-1, 0, 0, 1)))) as container:
        frame = next(container.decode(video=0))
    assert turn_filters(Frame(frame)) == (("hflip",),)  # type: ignore[arg-type]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le", "yuvj420p"])
def test_a_color_matrix_without_a_table_is_converted_with_the_default(pixel_format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pixel_format)

    def shown(tag: int) -> Picture:
        frame.colorspace = tag
        frame.color_primaries = frame.color_trc = 3  # reserved: these two do not affect the conversion
        return to_rgb(frame)

    bt601, bt2020 = shown(6), shown(9)
    for tag in (0, 2, 3, 5, 8, *range(11, 24)):
        assert np.array_equal(shown(tag), bt601), tag
    assert np.array_equal(shown(10), bt2020)
    assert not np.array_equal(bt601, bt2020)
    assert not np.array_equal(shown(1), bt601)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed only on Linux")
def test_conversion_starts_no_threads() -> None:
    """The engine needs the CPU; threads would live as long as the frame's decoder."""
    frame = av.VideoFrame(640, 480, "yuv420p")
    before = len(list(Path("/proc/self/task").iterdir()))
    assert to_rgb(frame).shape == (480, 640, 3)
    assert len(list(Path("/proc/self/task").iterdir())) == before


@pytest.mark.parametrize("pixel_format", ["bgr4", "yaf32le"])
def test_a_pixel_format_without_a_conversion_is_an_error(pixel_format: str) -> None:
    try:
        frame = av.VideoFrame(16, 16, pixel_format)
    except ValueError:
        pytest.skip(f"this FFmpeg has no {pixel_format}")
    with pytest.raises(FrameError, match=f"pixel format {pixel_format} cannot be converted to RGB"):
        to_rgb(frame)


@pytest.mark.parametrize("pattern", ["mirrored", "*_matrix"])
@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not on this machine")
def test_frames_equal_those_of_ffmpeg(pattern: str) -> None:
    (folder,) = CASES.glob(pattern)
    with np.load(folder / "pictures.npz") as expected:
        for name in expected.files:
            for picture, wanted in zip(read(folder / name), expected[name], strict=True):
                assert np.abs(picture.astype(int) - wanted).max() <= 2, name
