"""Which files are frames, and which images are read."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.special_files import SPECIAL_FILES
from tests.videos import picture, save_picture
from vbench.errors import FrameError
from vbench.runtime.video import image_file
from vbench.runtime.video.image_file import _decode_jpeg, _jpeg_decoder, image_names, read_image
from vbench.runtime.video.listed_frames import ListedFrames
from vbench.runtime.video.open import open_frames

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n100 100 scale\nshowpage\n%%EOF\n"
APPLE_DOUBLE = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        \0\x02" + bytes(50)


def test_companions_and_system_files_are_no_frames(tmp_path: Path) -> None:
    for number in (1, 2):
        save_picture(tmp_path / f"fr_{number}.jpg")
        (tmp_path / f"._fr_{number}.jpg").write_bytes(APPLE_DOUBLE)
    for name in (".DS_Store", "Thumbs.db", "._.DS_Store", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    assert image_names(tmp_path) == ("fr_1.jpg", "fr_2.jpg")
    assert len(open_frames(tmp_path)) == 2


def test_extensions_of_frames_match_in_any_case(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JPG", "c.Jpeg", "d.pNg"):
        save_picture(tmp_path / name)
    assert image_names(tmp_path) == ("a.jpg", "b.JPG", "c.Jpeg", "d.pNg")
    assert image_names(tmp_path, (".jpeg",)) == ("c.Jpeg",)


@pytest.mark.parametrize("name", ["f_1.jpg", "f_1.PNG"])
@pytest.mark.parametrize("convert", [False, True])
def test_postscript_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, convert: bool
) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho started >>{tmp_path}/started\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(FrameError, match="it is not a JPEG or PNG image"):
        read_image(tmp_path / name, convert)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF", "PPM", "WEBP", "ICO", "PDF"])
def test_other_formats_are_refused(tmp_path: Path, kind: str) -> None:
    Image.fromarray(picture()).save(tmp_path / "other", kind)
    with pytest.raises(FrameError, match="it is not a JPEG or PNG image"):
        read_image((tmp_path / "other").rename(tmp_path / "f.jpg"))


def test_the_content_decides_between_jpeg_and_png(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "f.png").rename(tmp_path / "f.jpg")
    assert (read_image(path) == picture()).all()


def test_an_animated_png_gives_its_first_picture(tmp_path: Path) -> None:
    first, second = Image.fromarray(picture()), Image.fromarray(picture(90))
    first.save(tmp_path / "f.png", save_all=True, append_images=[second])
    assert (read_image(tmp_path / "f.png") == picture()).all()


def test_a_cmyk_image_is_converted_only_on_request(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "f.jpg", "CMYK")
    with pytest.raises(FrameError, match="image in mode CMYK"):
        read_image(path)
    assert read_image(path, convert=True).shape == picture().shape


def _png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.parametrize("strict", [False, True])
def test_an_image_of_too_many_pixels_is_an_error(tmp_path: Path, width: int, height: int, strict: bool) -> None:
    (tmp_path / "f.png").write_bytes(_png_header(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        with pytest.raises(FrameError, match=r"cannot decode .*exceed"):
            read_image(tmp_path / "f.png")


def test_pillows_limit_applies_as_set_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_picture(tmp_path / "f.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 24)
    assert read_image(path).shape == (24, 32, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 24 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FrameError, match="exceed"):
            read_image(path)


def test_a_truncated_image_is_an_error(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG")
    (tmp_path / "f.jpg").write_bytes(stream.getvalue()[:-200])
    with pytest.raises(FrameError, match="cannot decode"):
        read_image(tmp_path / "f.jpg")


def save_jpeg(path: Path, height: int, width: int, **options: Any) -> Path:
    """Save a picture with sharp edges, at which decoders that smooth chroma differently differ."""
    blocks = np.random.default_rng(height).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    pixels = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
    Image.fromarray(pixels).save(path, "JPEG", **options)
    return path


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_simplejpeg_gives_pillows_pixels(tmp_path: Path, subsampling: str, progressive: bool) -> None:
    pytest.importorskip("simplejpeg")
    for height, width in [(1, 1), (37, 53), (64, 80), (255, 321)]:
        path = save_jpeg(tmp_path / "f.jpg", height, width, subsampling=subsampling, progressive=progressive)
        with Image.open(path) as image, path.open("rb") as file:
            decoded = _decode_jpeg(file)
            assert decoded is not None
            np.testing.assert_array_equal(decoded, np.asarray(image))
        np.testing.assert_array_equal(read_image(path), decoded)


def test_simplejpeg_decodes_only_rgb_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes everything else, and what simplejpeg rejects."""
    decoded: list[bytes] = []

    def decode(content: bytes, _: str) -> Any:
        decoded.append(content)
        raise ValueError("Premature end of JPEG file")

    monkeypatch.setattr(image_file, "_jpeg_decoder", lambda: decode)
    for name, mode in [("f.png", "RGB"), ("gray.jpg", "L"), ("cmyk.jpg", "CMYK")]:
        assert read_image(save_picture(tmp_path / name, mode), convert=True).shape == picture().shape
    assert decoded == []
    path = save_jpeg(tmp_path / "f.jpg", 24, 32)
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_image(path), np.asarray(image))
    assert decoded == [path.read_bytes()]


def test_simplejpeg_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert _jpeg_decoder.__wrapped__() is None
    monkeypatch.setattr(image_file, "_jpeg_decoder", lambda: None)
    assert read_image(save_jpeg(tmp_path / "f.jpg", 24, 32)).shape == (24, 32, 3)


@pytest.mark.parametrize("kind", SPECIAL_FILES)
def test_special_files_among_frames_are_errors(tmp_path: Path, kind: str) -> None:
    save_picture(tmp_path / "img_00001.jpg")
    SPECIAL_FILES[kind](tmp_path / "img_00002.jpg")
    source = open_frames(tmp_path)
    with pytest.raises(FrameError, match=f"cannot read .*: it is {kind}, not a file"):
        source.read(1)
    listed = ListedFrames(tmp_path, "img_{:05d}.jpg", 2)
    listed.read(1)
    assert listed.replaced == 1
