"""One video to a folder of JPEGs, as the authors of FrameExit made theirs with ffmpeg.

Like `ffmpeg -i V -r RATE -qscale:v 2 -vf scale=S:S:force_original_aspect_ratio=increase`; accuracy depends on which
frames that picks. Compared with ffmpeg 5.1 on the 25 decodable clips of `shared/data/clips`, at 5 and at 1 frames a
second: always as many pictures, from the same frames, and where nothing is scaled the same pixels. Where the picture is
scaled the versions of swscale differ by a level here and there: in RGB 0.2 to 0.6 of 255 on average, at most 18 in one
pixel. What a decoder makes up after damage differs, though (`corrupted.mp4`: same count, other pictures).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import FrameError, MissingError
from ...runtime.video.ffmpeg import Decoder

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

_JPEG_QUALITY = "2"  # ffmpeg's -qscale:v 2
_TURNS = {0: (), 1: (("transpose", "cclock"),), 2: (("hflip",), ("vflip",)), 3: (("transpose", "clock"),)}
_UNSPECIFIED_MATRIX = 2
_FULL_RANGE = 2


class ExtractionResult(NamedTuple):
    """How many pictures a video gave, and where decoding met damage, if it did."""

    pictures: int
    damage: str | None


class ExtractionStopped(Exception):  # noqa: N818  # not an error: the person at the keyboard asked for it
    """The extraction was told to stop; nothing of the video was left."""


def cfr_frames(frames: Iterable[tuple[float, float]], rate: int) -> Iterator[int]:
    """Source frame of every picture that ffmpeg (5.1) writes at a constant `rate` a second; -> ascending positions.

    `frames` gives (presentation time, duration) in seconds. Times are counted in pictures; `drift` is how far a frame
    lies behind (-) or before (+) the next picture due. The rule, from what ffmpeg does:

    - a frame that has begun but not ended when the picture is due counts as on time (drift 0);
    - a frame that ends more than 1.1 pictures too early is dropped;
    - one that ends more than 1.1 pictures late is written as often as needed to catch up, and if it also begins so
      late, the frame before it fills the gap first;
    - any other frame is written once. That makes the first two pictures neighbours: the second frame is never 1.1
      pictures too early.
    - after the last frame it is repeated as often as the median of the last three fillings.

    Lazy: a picture is given as soon as its frame is known, and lies at most one frame behind the last one read.
    """
    due, position, fillings = 0, -1, [0, 0, 0]
    for position, (time, duration) in enumerate(frames):
        drift = _picture_time(time, rate) - due
        end = drift + min(duration * rate, 1.0)
        if drift < 0 < end:
            drift = 0.0
        copies = 0 if end < -1.1 else round(end) if end > 1.1 else 1
        filling = min(round(drift - 0.6), copies) if end > 1.1 and drift > 1.1 else 0
        fillings = [filling, *fillings[:2]]
        due += copies
        for copy in range(copies):
            yield max(position - 1, 0) if copy < filling else position
    for _ in range(sorted(fillings)[1]):
        yield position


def _picture_time(time: float, rate: int) -> float:
    """Time counted in pictures with ffmpeg's rounding, which decides ties: to 2**-16, and 2**-17 more unless whole."""
    rounded = round(time * rate * 65536) / 65536
    return rounded if rounded == round(rounded) else rounded + 1 / 131072


def extract_video(
    video: Path, folder: Path, rate: int, short_side: int, stopped: Callable[[], bool] = lambda: False
) -> ExtractionResult:
    """Write `folder/frame_0001.jpeg` ... at `rate` pictures a second, shorter side `short_side` pixels.

    The folder is there whole or not at all: pictures go to `.partial-<name>` beside it, which is renamed at the end.

    Raises:
        FrameError: the video cannot be opened or gives no frame.
        MissingError: the disk is full, or the folder cannot be written.
        ExtractionStopped: `stopped()` became true.
    """
    partial = folder.with_name(f".partial-{folder.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _make_folder(partial)
        extracted = _extract(video, partial, rate, short_side, stopped)
        _rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return extracted


def _extract(video: Path, folder: Path, rate: int, short_side: int, stopped: Callable[[], bool]) -> ExtractionResult:
    decoder = Decoder(video, as_ffmpeg=True)
    recent: dict[int, VideoFrame] = {}
    scaler = _Scaler(short_side)
    count = 0
    for position in cfr_frames(_frame_times(decoder, recent), rate):
        if stopped():
            raise ExtractionStopped
        count += 1
        _write(folder / f"frame_{count:04d}.jpeg", jpeg(scaler.scale_frame(recent[position]), rate))
    if not count:
        raise FrameError(f"no frame of {video} decodes", decoder.failure or "leave the video out")
    return ExtractionResult(count, decoder.failure)


def _frame_times(decoder: Decoder, recent: dict[int, VideoFrame]) -> Iterator[tuple[float, float]]:
    """Time and duration of every frame, with the frame and the one before it kept in `recent`."""
    for position, frame in enumerate(decoder):
        recent[position] = frame
        recent.pop(position - 2, None)
        yield decoder.time_s(frame), 1 / decoder.rate if decoder.rate else 1.0


class _Scaler:
    """Frames turned for display, scaled and brought to JPEG's full range, with filters made once per kind of frame."""

    def __init__(self, short_side: int) -> None:
        self.scale = f"{short_side}:{short_side}:force_original_aspect_ratio=increase:flags=bicubic"
        self.kind: tuple[object, ...] = ()
        self.graphs: tuple[Graph, ...] = ()

    def scale_frame(self, frame: VideoFrame) -> VideoFrame:
        full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
        kind = (frame.width, frame.height, frame.format.name, frame.rotation, full)
        if kind != self.kind:
            self.kind, self.graphs = kind, self._make(frame, full)
        # newer versions would convert BT.709 to the matrix of JPEG; the authors' ffmpeg left the numbers alone
        frame.colorspace = _UNSPECIFIED_MATRIX
        picture, *chroma = (_filter_frame(graph, frame) for graph in self.graphs)
        for source in chroma:
            picture.make_writable()
            for plane in (1, 2):
                picture.planes[plane].update(bytes(source.planes[plane]))
        return picture

    def _make(self, frame: VideoFrame, full: bool) -> tuple[Graph, ...]:
        sampling = next((name for name in ("444", "422") if name in frame.format.name), "420")
        picture = _graph(frame, ("scale", self.scale), ("format", f"yuvj{sampling}p"))
        if full:
            return (picture,)
        # FFmpeg 8 rounds chroma down when it widens the range, ffmpeg 5.1 to the nearest: half a level of difference
        # everywhere. So chroma is scaled without a change of range, and widened here.
        widen = "clip(128.5+(val-128)*255/224,0,255)"
        limited = ("scale", f"{self.scale}:in_range=tv:out_range=tv")
        return picture, _graph(frame, limited, ("format", f"yuv{sampling}p"), ("lutyuv", f"u='{widen}':v='{widen}'"))


def _graph(frame: VideoFrame, *filters: tuple[str, ...]) -> Graph:
    from av.filter import Graph

    graph = Graph()
    # the time base does not matter: frames go through one by one
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for spec in (*_TURNS[round(frame.rotation / 90) % 4], *filters, ("buffersink",)):
        following = graph.add(*spec)
        last.link_to(following)
        last = following
    graph.configure()
    return graph


def _filter_frame(graph: Graph, frame: VideoFrame) -> VideoFrame:
    graph.vpush(frame)
    return graph.vpull()


def jpeg(picture: VideoFrame, rate: int) -> bytes:
    """The picture (format yuvj4xxp) as a JPEG file by FFmpeg's encoder at quality 2, ffmpeg's `-qscale:v 2`."""
    import av

    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.time_base = Fraction(1, rate)
    encoder.thread_count = 1
    encoder.options = {"qmin": _JPEG_QUALITY, "qmax": _JPEG_QUALITY, "strict": "unofficial"}
    picture.pts = None
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _write_error(path, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise _write_error(folder, error) from error


def _rename(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError as error:
        raise _write_error(folder, error) from error


def _write_error(path: Path, error: OSError) -> MissingError:
    return MissingError(
        f"cannot write {path}: {error.strerror}", "free disk space or choose another --data, then rerun"
    )
