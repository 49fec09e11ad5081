"""Entry point of the completeness check: choose the rules for a container format.

A demuxer does not report an error at the end of a truncated file, so a prediction would be based on the first part of
the video alone. Only declared sizes and positions count as evidence, never durations: a stated duration may be stale,
edit lists hide frames, and the last frame may be held for any length of time. Damage other than truncation is left to
the decoder. Every parser reads only element headers, never follows a position backward, and stops at the first header
that makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from ....errors import FrameError
from . import asf, avi, flv, gif, ivf, matroska, mp4, ogg, png, stated_size

# Arguments: the file and its size in bytes. Returns a clause that says what is missing; None if nothing seems to be.
Shortfall = Callable[[BinaryIO, int], str | None]

# By the name of FFmpeg's demuxer. MPEG transport and program streams, DV, Y4M and raw streams do not declare a size.
_RULES: Mapping[str, Shortfall] = MappingProxyType(
    {
        "apng": png.shortfall,
        "asf": asf.shortfall,
        "avi": avi.shortfall,
        "flv": flv.shortfall,
        "gif": gif.shortfall,
        "ivf": ivf.shortfall,
        "matroska": matroska.shortfall,
        "mov": mp4.shortfall,
        "mxf": stated_size.mxf_shortfall,
        "ogg": ogg.shortfall,
        "swf": stated_size.swf_shortfall,
    }
)


def check_complete(path: Path, container_format: str) -> None:
    """Check a file against the sizes that it declares; ``container_format`` is FFmpeg's name for its format.

    Raises:
        FrameError: the file is truncated, or cannot be read.
    """
    shortfall = next((_RULES[name] for name in container_format.split(",") if name in _RULES), None)
    if shortfall is None:
        return
    try:
        with path.open("rb") as file:
            clause = shortfall(file, path.stat().st_size)
    except OSError as error:
        raise FrameError(f"cannot read {path}: {error.strerror}", "check the disk") from error
    if clause is not None:
        raise FrameError(f"{path} is truncated: {clause}", "copy the file again, or exclude the video")
