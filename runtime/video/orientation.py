"""Frames as displayed: the orientation specified by a file, applied to decoded pixels or expressed as filters.

A display matrix rotates and mirrors frames. It comes from the container or from an SEI message in the stream; FFmpeg
attaches the matrix in effect to each decoded frame, so the orientation can change within a file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from fractions import Fraction
from operator import attrgetter
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.sidedata.sidedata import SideData

Filters = tuple[tuple[str, ...], ...]

_UNSPECIFIED = 2  # in AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic
# AVColorSpace: the tags for which swscale has conversion coefficients, and the ones it uses. BT.2020 with constant
# luminance (10) is converted as if it were non-constant, as in ffmpeg. All other tags get swscale's default, BT.601.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9, 10: 9}
_ABORTING_FORMATS = ("yaf32be", "yaf32le")  # swscale (FFmpeg 8.1) kills the process instead of reporting an error
_SIDE_DATA_TYPES = 64  # more than FFmpeg defines


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the frame as uint8 RGB [H, W, 3], rotated and mirrored for display as specified in the file.

    The pixels are byte-identical to the output of `ffmpeg -pix_fmt rgb24` for all clips compared.

    Raises:
        FrameError: FFmpeg cannot convert the frame's pixel format to RGB.
    """
    from av.error import FFmpegError

    filters = turn_filters(frame)
    frame.colorspace = _MATRICES.get(frame.colorspace, _UNSPECIFIED)
    frame.color_primaries = frame.color_trc = (
        _UNSPECIFIED  # not part of the conversion, and PyAV 17.0 rejects some values
    )
    try:
        if frame.format.name in _ABORTING_FORMATS:
            raise ValueError("FFmpeg has no conversion")
        shown = _filtered(frame, filters) if filters else frame
        # one thread: PyAV's default starts a thread per CPU for each decoder, which takes longer than the conversion
        pixels = shown.reformat(format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    except (FFmpegError, ValueError) as error:
        raise FrameError(
            f"a frame of pixel format {frame.format.name} cannot be converted to RGB: {error}",
            "convert the video to another pixel format, such as yuv420p, or exclude it",
        ) from error


def turn_filters(frame: VideoFrame) -> Filters:
    """Return the FFmpeg filters (name, arguments) that orient the frame for display, as `to_rgb` does.

    The filters are those of ffmpeg's automatic rotation: the angle of the matrix, rounded to a degree, selects the
    filter, and the sign of one of its entries adds mirroring. Scale and translation are ignored; a matrix with a zero
    column has no angle and changes nothing. An angle that is not a multiple of 90 degrees rotates the frame without
    changing its size.
    """
    matrix = _display_matrix(frame)
    return _filters_of(matrix) if matrix else ()


def _filters_of(matrix: tuple[int, ...]) -> Filters:
    degrees = _clockwise_degrees(matrix)
    if degrees is None:
        return ()
    if degrees == 90:
        return (("transpose", "cclock_flip" if matrix[3] > 0 else "clock"),)
    if degrees == 270:
        return (("transpose", "clock_flip" if matrix[3] < 0 else "cclock"),)
    if degrees not in (0, 180):
        return (("rotate", f"{degrees}*PI/180"),)
    horizontal = (("hflip",),) if degrees == 180 and matrix[0] < 0 else ()
    vertical = (("vflip",),) if matrix[4] < 0 else ()
    return (*horizontal, *vertical)


def _clockwise_degrees(matrix: tuple[int, ...]) -> int | None:
    """Return the clockwise rotation (0 to 359) of a display matrix, or None if it has none."""
    scale_x, scale_y = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
    if not scale_x or not scale_y:
        return None
    return round(math.degrees(math.atan2(matrix[1] / scale_y, matrix[0] / scale_x))) % 360


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """Return the nine entries of the display matrix, row by row, or None if the frame has none."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV lists no side data at all if it does not know the type of one entry
        data = _filtered(frame, _unknown_side_data_removed()).side_data.get("DISPLAYMATRIX")
    return struct.unpack("=9i", cast("SideData", data)) if data is not None else None


def _unknown_side_data_removed() -> Filters:
    from av.sidedata.sidedata import Type

    known = set(map(attrgetter("value"), Type))
    return tuple(("sidedata", f"delete:{number}") for number in range(_SIDE_DATA_TYPES) if number not in known)


def _filtered(frame: VideoFrame, filters: Iterable[tuple[str, ...]]) -> VideoFrame:
    from av.filter import Graph

    graph = Graph()
    if hasattr(graph, "threads"):  # missing in PyAV 17.0; starting threads takes longer than filtering one frame
        graph.threads = 1
    # the time base is irrelevant: the graph filters a single frame
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for spec in (*filters, ("buffersink",)):
        following = graph.add(*spec)
        last.link_to(following)
        last = following
    graph.configure()
    graph.vpush(frame)
    return graph.vpull()
