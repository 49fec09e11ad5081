"""Valid videos under hostile names, which must be read, and names that are not files, which must be refused."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from tests.fuzz.case import Case
from tests.fuzz.inputs.videos import _use
from tests.fuzz.samples import SECRET, Samples

_HOSTILE = (
    b"cam1:0930.mp4",
    b"concat:x.mp4",
    b"file:x.mp4",
    b"http:x.mp4",
    b"pipe:0.mp4",
    b"subfile,,start,0,end,0,,:x.mp4",
    b"data:x.mp4",
    b"crypto:x.mp4",
    b"-o.mp4",
    b"--help.mp4",
    b"%d.mp4",
    b"frame_%03d.mp4",
    b"*.mp4",
    b"a[0-9].mp4",
    b"caf\xc3\xa9.mp4",
    b"caf\xe9.mp4",
    b"\xff\xfe.mp4",
    b"a\nb.mp4",
    b"a\rb.mp4",
    b"\x1b[31mred.mp4",
    b"\x07.mp4",
    b"\xe2\x80\xae.mp4",
    b"[red]x[bold].mp4",
    b"$x^2_$.mp4",
    b"a b.mp4",
    b" .mp4",
    b"{0}.mp4",
    b"x" * 250 + b".mp4",
    b"'\".mp4",
    b"a;b|c.mp4",
)
_NO_FILES = (
    "concat:{secret}",
    "concat:{secret}|{secret}",
    "subfile,,start,0,end,0,,:{secret}",
    "file:{secret}",
    "file://{secret}",
    "http://127.0.0.1:{port}/x.mp4",
    "tcp://127.0.0.1:{port}",
    "rtsp://127.0.0.1:{port}/x",
    "async:file:{secret}",
    "cache:{secret}",
    "data:video/mp4;base64,AAAA",
    "lavfi:testsrc",
    "testsrc=duration=1",
    "pipe:0",
    "x" * 300,
    "x" * 5000,
    "a\x00b",
    "",
    " ",
    "/",
    "/dev/null",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
)


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    if rng.random() < 0.4:
        text = rng.choice(_NO_FILES).format(secret=samples.outside / f"{SECRET}.mp4", port=samples.port)
        command = (
            ("explain", text, "--bundle", str(samples.bundle), "-o", "out.png", "--json") if "\0" not in text else ()
        )
        kind = rng.choice((str, Path))
        return Case(f"{text[:40]!r}", lambda: _open(kind, text), command, must_fail=True)
    name = os.fsdecode(rng.choice(_HOSTILE))
    source = rng.choice((samples.videos / "h264.mp4", samples.videos / "mpeg4.avi"))
    path = folder / "data" / "class_0" / name
    path.parent.mkdir(parents=True)
    os.link(source, path)
    for label in range(1, 5):
        (folder / "data" / f"class_{label}").mkdir()
    given = path if rng.random() < 0.5 else Path("data/class_0", name)
    if rng.random() < 0.5:
        os.link(source, folder / name)
        given = Path(name)
    commands = (
        ("run", str(samples.bundle), "--dataset", "folder", "--data", "data", "-o", "out", "--json"),
        ("explain", "--bundle", str(samples.bundle), "-o", "out.png", "--json", "--", str(given)),
    )
    return Case(f"{name[:40]!r}", lambda: _use(given), rng.choice(commands), must_answer=True)


def _open(kind: type, text: str) -> object:
    from vbench.runtime.video.open import open_frames

    source = open_frames(kind(text))
    source.close()
    return len(source)
