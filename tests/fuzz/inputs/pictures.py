"""Pictures: damaged JPEG and PNG files, other formats under their names, and decompression bombs."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random

from PIL import Image

from tests.fuzz.byte_mutations import damage
from tests.fuzz.case import Case
from tests.fuzz.samples import SECRET, Samples

_FORMATS = ("GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "PCX", "SGI", "WEBP", "EPS", "PDF", "JPEG2000", "MPO")


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    video = folder / "clip"
    video.mkdir()
    source = rng.choice(sorted(samples.pictures.iterdir()))
    path = video / f"frame_0{source.suffix}"
    data, what, must_fail = rng.choice((_damaged,) * 8 + (_cut, _format, _bomb, _png, _text))(rng, source, samples)
    path.write_bytes(data)
    command = ("explain", "clip", "--bundle", str(samples.bundle), "-o", "out.png", "--json")
    return Case(f"{source.name}: {what}", lambda: _use(video), command, must_fail)


def _use(video: Path) -> object:
    from vbench.runtime.video.open import open_frames

    source = open_frames(video)
    try:
        source.expect([0])
        frame = source.read(0)
        assert frame.dtype.name == "uint8", frame.dtype
        assert frame.shape[2:] == (3,), frame.shape
        return frame.mean()
    finally:
        source.close()


def _damaged(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    found = damage(rng, source.read_bytes())
    return found.data, found.what, False


def _cut(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    data = source.read_bytes()
    cut = rng.randrange(int(len(data) * 0.9))
    return data[:cut], f"cut off at byte {cut} of {len(data)}", True


def _format(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    name = rng.choice(_FORMATS)
    stream = io.BytesIO()
    Image.open(source).convert("RGB").resize((40, 32)).save(stream, name)
    return stream.getvalue(), f"{name} under another name", name != "MPO"


def _bomb(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    side = rng.choice((15_000, 30_000, 100_000, 2**31 - 1))
    # one byte per pixel of a gray picture would exceed memory; the content is too short anyway
    return _png_file(side, side, 2, b"\x00" * 1000), f"{side} x {side} pixels", True


def _png(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    width, height = rng.choice((0, 1, 40)), rng.choice((0, 1, 32, 1000))
    kind = rng.choice((0, 2, 3, 4, 6, 7))
    return _png_file(width, height, kind, rng.randbytes(200)), f"PNG {width} x {height} of kind {kind}", False


def _text(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    secret = samples.outside / f"{SECRET}.jpeg"
    data = rng.choice(
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 32\n%%EndComments\n(x) run\n",
            f"push graphic-context\nimage over 0,0 0,0 '{secret}'\npop graphic-context\n".encode(),
            f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{secret}"/></svg>'.encode(),
            b"",
            b"P6 40 32 255\n" + bytes(40 * 32 * 3),
        )
    )
    return data, f"{data[:8]!r}", True


def _png_file(width: int, height: int, kind: int, content: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width & 0x7FFFFFFF, height & 0x7FFFFFFF, 8, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
