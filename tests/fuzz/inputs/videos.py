"""Videos: damaged and truncated files of every container, and text files that refer to other files."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from tests.fuzz.byte_mutations import damage
from tests.fuzz.case import Case
from tests.fuzz.samples import SECRET, Samples

# These state their length or size, so a file cut in half is recognizable.
_DECLARING = (
    "h264.mp4",
    "mpeg4.mp4",
    "mjpeg.mov",
    "h264.mov",
    "h264.mkv",
    "vp8.webm",
    "mpeg4.avi",
    "mjpeg.avi",
    "flv1.flv",
)
_READ = 4  # frames of a clip
_CLASS = "class_0"
_KEY = "abc_000001_000011"


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    source = rng.choice(sorted(samples.videos.iterdir()))
    data, what, must_fail = rng.choice((_damaged,) * 6 + (_cut,) * 3 + (_playlist,))(rng, source, samples)
    suffix = source.suffix if source.suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi") else ".mp4"
    path = folder / "data" / _CLASS / f"clip{suffix}"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    if rng.random() < 0.2:
        # An extraction uses what a damaged file holds, and says so.
        return _extraction(folder, path, f"{source.name}: {what}", must_fail and "cut off" not in what)
    for label in range(1, 5):
        (folder / "data" / f"class_{label}").mkdir()
    commands = (
        ("run", str(samples.bundle), "--dataset", "folder", "--data", "data", "-o", "out", "--json"),
        ("explain", str(path), "--bundle", str(samples.bundle), "-o", "out.png", "--json"),
    )
    return Case(f"{source.name}: {what}", lambda: _use(path), rng.choice(commands), must_fail)


def _extraction(folder: Path, path: Path, what: str, must_fail: bool) -> Case:
    """Return the case of ``vbench data prepare``."""
    path = path.rename(path.with_stem(_KEY))
    root = folder / "out"
    (root / "frames").mkdir(parents=True)
    (root / "split.txt").write_text(f"{_KEY}.mp4")
    (root / "kinetics_val.csv").write_text("label,youtube_id,time_start,time_end,split,is_cc\nrun,abc,1,11,val,0")
    (root / "classes.txt").write_text("run")
    command = ("data", "prepare", "minikinetics", "--videos", "data", "--data", "out", "--workers", "1")
    return Case(f"{what}, extracted", lambda: _extract(path, root / "frames"), command, must_fail)


def _extract(path: Path, target: Path) -> object:
    from av.error import FFmpegError

    from vbench.bench.datasets.extract_frames import extract_video
    from vbench.errors import FrameError

    try:
        found = extract_video(path, target / "key", 5, 32)
        assert found.pictures == len(list((target / "key").iterdir()))
    except FFmpegError as error:  # which vbench data prepare reports like the others
        raise FrameError(" ".join(str(error).split())) from error
    finally:
        # what a failed extraction leaves is a leftover
        if (target / "key").exists():
            shutil.rmtree(target / "key")
    return found.pictures


def _use(path: Path) -> object:
    from vbench.runtime.video.open import open_frames
    from vbench.runtime.video.sampling import linspace_positions

    source = open_frames(path)
    try:
        positions = linspace_positions(len(source), _READ)
        source.expect(positions)
        frames = [source.read(position) for position in positions]
        assert all(frame.ndim == 3 and frame.shape[2] == 3 for frame in frames)
        return [float(frame.mean()) for frame in frames]
    finally:
        source.close()


def _damaged(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    found = damage(rng, source.read_bytes())
    return found.data, found.what, False


def _cut(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    data = source.read_bytes()
    cut = int(len(data) * rng.uniform(0.05, 0.85))
    return data[:cut], f"cut off at byte {cut} of {len(data)}", source.name in _DECLARING


def _playlist(rng: Random, source: Path, samples: Samples) -> tuple[bytes, str, bool]:
    secret = samples.outside / f"{SECRET}.mp4"
    texts = (
        f"ffconcat version 1.0\nfile '{secret}'\n",
        "ffconcat version 1.0\nfile clip.mp4\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{samples.port}/x.ts\n#EXT-X-ENDLIST\n",
        f'<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>{secret}</BaseURL></AdaptationSet></Period></MPD>',
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video {samples.port} RTP/AVP 96\n",
        f"[Movie]\nfile={secret}\n",
        "#!/bin/sh\n",
        "",
    )
    text = rng.choice(texts)
    return text.encode(), f"{text[:16]!r}", True
