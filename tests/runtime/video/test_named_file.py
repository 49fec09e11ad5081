"""A name opens exactly the local file of that name, and the file's contents open no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tests.special_files import SPECIAL_FILES
from tests.videos import save_video
from vbench.errors import FrameError
from vbench.runtime.video.open import open_frames

HONEST_NAMES = [
    "cam1:0930.mp4",
    "100%d.mp4",
    "frame_%03d.mp4",
    "what?.mp4",
    "[1-9]*{a,b}.mp4",
    "-y.mp4",
    "a clip.mp4",
    "two\nlines.mp4",
    "quote'.mp4",
    "pipe:0",
    "file:clip.mp4",
    "concat:a.mp4|b.mp4",
    "data:video.mp4",
    "caf\udce9.mp4",
    "clip.jpg",
    "clip.m3u8",
    "clip",
]

DECEITS = {
    "concat:secret.mp4": b"x",
    "subfile,,start,0,end,0,,:secret.mp4": b"x",
    "list.mp4": b"ffconcat version 1.0\nfile secret.mp4\n",
    "self.mp4": b"ffconcat version 1.0\nfile self.mp4\n",
    "list.ffconcat": b"ffconcat version 1.0\nfile secret.mp4\n",
    "hls.mp4": b"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "hls.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "dash.mp4": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    b"<Period><BaseURL>secret.mp4</BaseURL></Period></MPD>",
    "session.mp4": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    b"a=rtpmap:96 H264/90000\n",
    "metadata.mp4": b";FFMETADATA1\ntitle=secret.mp4\n",
    "text.mp4": b"secret.mp4\n" * 100,
    "picture.mp4": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="secret.png"/></svg>',
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=3)


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize("name", HONEST_NAMES, ids=ascii)
def test_any_name_opens_the_file_of_that_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, absolute: bool
) -> None:
    shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(open_frames(tmp_path / name if absolute else name)) == 3


def test_a_folder_named_like_a_protocol_is_a_folder(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http:").mkdir()
    shutil.copy(clip, tmp_path / "http:" / "host.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(open_frames("http:/host.mp4")) == 3
    with pytest.raises(FrameError, match="does not exist"):
        open_frames("http://127.0.0.1:9/a.mp4")


@pytest.mark.parametrize("name", DECEITS)
def test_content_that_refers_to_another_file_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copy(clip, tmp_path / "secret.mp4")
    (tmp_path / name).write_bytes(DECEITS[name])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FrameError, match=r"cannot open .* as a video") as error:
        open_frames(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", SPECIAL_FILES)
def test_special_files_are_errors(tmp_path: Path, kind: str) -> None:
    path = SPECIAL_FILES[kind](tmp_path / "clip.mp4")
    with pytest.raises(FrameError, match=f"cannot open .* as a video: it is {kind}, not a file"):
        open_frames(path)


def test_names_that_the_system_rejects_are_errors(tmp_path: Path) -> None:
    for name in ("x" * 300 + ".mp4", "nul\0.mp4"):
        with pytest.raises(FrameError, match="cannot open"):
            open_frames(tmp_path / name)
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(FrameError, match="cannot open"):
        open_frames(tmp_path / "loop.mp4")


def test_no_descriptor_stays_open(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "list.mp4").write_bytes(DECEITS["list.mp4"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (clip, tmp_path / "list.mp4") * 3:
        try:
            frames = open_frames(path)
            frames.read(2)
            frames.close()
        except FrameError:
            assert path.name == "list.mp4"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


CONTAINERS = {
    "mp4": "mpeg4",
    "mov": "mpeg4",
    "3gp": "h263",
    "mkv": "mpeg4",
    "webm": "libvpx",
    "avi": "mpeg4",
    "ts": "mpeg2video",
    "mpg": "mpeg1video",
    "vob": "mpeg2video",
    "flv": "flv",
    "asf": "msmpeg4",
    "wmv": "wmv2",
    "ogv": "libtheora",
    "mxf": "mpeg2video",
    "nut": "mpeg4",
    "h264": "libx264",
    "m4v": "mpeg4",
    "m2v": "mpeg2video",
    "mjpeg": "mjpeg",
    "y4m": "wrapped_avframe",
    "gif": "gif",
    "apng": "apng",
    "ivf": "libvpx",
    "dv": "dvvideo",
    "rm": "rv10",
}
_SIZES = {"3gp": (176, 144), "dv": (720, 576), "rm": (176, 144)}
_PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "apng": "rgb24"}


@pytest.mark.parametrize("extension", CONTAINERS)
def test_containers_of_video_still_open(tmp_path: Path, extension: str) -> None:
    width, height = _SIZES.get(extension, (64, 48))
    path = tmp_path / f"clip.{extension}"
    codec = CONTAINERS[extension]
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = width, height
            stream.pix_fmt = _PIXELS.get(extension, "yuv420p")
            for level in range(0, 240, 20):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format="rgb24")
                container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg cannot write it: {error}")
    renamed = path.rename(tmp_path / "clip.mp4")  # the contents decide, not the name
    assert len(open_frames(renamed)) in (11, 12)
