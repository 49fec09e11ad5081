"""Scale frames and encode them as JPEGs, as the ffmpeg program (5.1) does."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ....runtime.video.orientation import turn_filters

if TYPE_CHECKING:
    from av import VideoFormat, VideoFrame
    from av.filter import Graph

_JPEG_QUALITY = "2"  # ffmpeg's -qscale:v 2
_UNSPECIFIED_MATRIX = 2
_FULL_RANGE = 2
_SIDE = 64  # any size divisible by every chroma subsampling factor


class Scaler:
    """Rotate, scale and convert frames to JPEG's full range, with filters cached per frame format."""

    def __init__(self, short_side: int) -> None:
        self.scale = f"{short_side}:{short_side}:force_original_aspect_ratio=increase:flags=bicubic"
        self.kind: tuple[object, ...] = ()
        self.graphs: tuple[Graph, ...] = ()

    def scale_frame(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame rotated for display, scaled, and converted to `yuvj4xxp` (see `chroma_sampling`)."""
        full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE or _is_rgb(frame.format)
        kind = (frame.width, frame.height, frame.format.name, turn_filters(frame), full)
        if kind != self.kind:
            self.kind, self.graphs = kind, self._make(frame, full)
        # newer versions convert BT.709 to the JPEG matrix; the authors' ffmpeg left the values unchanged
        frame.colorspace = _UNSPECIFIED_MATRIX
        picture, *chroma = (_filter_frame(graph, frame) for graph in self.graphs)
        for source in chroma:
            picture.make_writable()
            for plane in (1, 2):
                picture.planes[plane].update(bytes(source.planes[plane]))
        return picture

    def _make(self, frame: VideoFrame, full: bool) -> tuple[Graph, ...]:
        sampling = chroma_sampling(frame.format)
        picture = _graph(frame, ("scale", self.scale), ("format", f"yuvj{sampling}p"))
        if full:
            return (picture,)
        # FFmpeg 8 rounds chroma down when it expands the range, while ffmpeg 5.1 rounds to nearest: half a level of
        # difference everywhere. Therefore, chroma is scaled without a range change and expanded here.
        widen = "clip(128.5+(val-128)*255/224,0,255)"
        limited = ("scale", f"{self.scale}:in_range=tv:out_range=tv")
        return picture, _graph(frame, limited, ("format", f"yuv{sampling}p"), ("lutyuv", f"u='{widen}':v='{widen}'"))


def chroma_sampling(pixels: VideoFormat) -> str:
    """Return the chroma sampling of ffmpeg's JPEG for a pixel format: `444`, `422` or `420`, whichever loses the least.

    RGB and gray become 4:4:4, as does 4:4:0, because JPEGs with that sampling are not standard; 4:1:1 becomes 4:2:2.
    """
    if pixels.chroma_width(_SIDE) == _SIDE:
        return "444"
    return "422" if pixels.chroma_height(_SIDE) == _SIDE else "420"


def _is_rgb(pixels: VideoFormat) -> bool:
    return pixels.is_rgb or pixels.has_palette


def _graph(frame: VideoFrame, *filters: tuple[str, ...]) -> Graph:
    from av.filter import Graph

    graph = Graph()
    # the time base is irrelevant: frames are filtered one by one
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for spec in (*turn_filters(frame), *filters, ("buffersink",)):
        following = graph.add(*spec)
        last.link_to(following)
        last = following
    graph.configure()
    return graph


def _filter_frame(graph: Graph, frame: VideoFrame) -> VideoFrame:
    graph.vpush(frame)
    return graph.vpull()


def jpeg(picture: VideoFrame, rate: int) -> bytes:
    """Encode the image (format yuvj4xxp) with FFmpeg's JPEG encoder at quality 2, ffmpeg's `-qscale:v 2`."""
    import av

    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.time_base = Fraction(1, rate)
    encoder.thread_count = 1
    encoder.options = {"qmin": _JPEG_QUALITY, "qmax": _JPEG_QUALITY, "strict": "unofficial"}
    picture.pts = None
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))
