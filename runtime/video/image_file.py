"""Image files: list a folder, and read pixels as stored, ignoring orientation tags.

Only JPEG and PNG images are read, whatever their names, because Pillow starts external programs for some other formats.
If simplejpeg is installed, it decodes JPEG images, in about three quarters of the time: Pillow's wheels and simplejpeg
use the same decoder, libjpeg-turbo, but Pillow stores four bytes per pixel and converts them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ...input_files import NotAFileError, has_extension, is_hidden, open_file

IMAGE_EXTENSIONS = (".jpeg", ".jpg", ".png")

_FORMATS = ("JPEG", "PNG")
_HINT = "replace the image or exclude the video"


def image_names(folder: Path, extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> tuple[str, ...]:
    """Return the names in `folder` that end in one of `extensions`, ignoring case, sorted as strings.

    Hidden files are skipped: on non-Apple file systems, macOS stores a companion `._NAME` next to each file.

    Raises:
        FrameError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries)
            return tuple(sorted(name for name in names if has_extension(name, extensions) and not is_hidden(name)))
    except OSError as error:
        raise FrameError(f"cannot list {folder}: {error.strerror}", "pass a folder of images") from error


def read_image(path: Path, convert: bool = False) -> NDArray[np.uint8]:
    """Return the image as uint8 RGB [H, W, 3]; if `convert` is true, other modes (gray, palette) are converted.

    Raises:
        FrameError: the file is missing, damaged or truncated, is neither JPEG nor PNG, has more pixels than Pillow's
            limit, or is not stored as RGB and `convert` is false. Other modes are rejected by default because
            FrameExit's networks were trained without converted images; its own reader rejects them too.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open_file(path) as file, Image.open(file, formats=_FORMATS) as image:
            _check_size(image.size, Image.MAX_IMAGE_PIXELS)
            if image.mode != "RGB" and not convert:
                raise FrameError(f"{path} is an image in mode {image.mode}", "convert it to RGB")
            is_rgb_jpeg = image.format == "JPEG" and image.mode == "RGB"
            pixels = _decode_jpeg(file) if is_rgb_jpeg else None
            return np.asarray(image.convert("RGB") if convert else image, np.uint8) if pixels is None else pixels
    except FileNotFoundError as error:
        raise FrameError(f"{path} does not exist", "pass the path of an image") from error
    except UnidentifiedImageError as error:
        raise FrameError(f"cannot decode {path}: it is not a JPEG or PNG image", _HINT) from error
    except (NotAFileError, IsADirectoryError, PermissionError) as error:
        raise FrameError(f"cannot read {path}: {error.strerror}", _HINT) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = " ".join(str(error).split())
        raise FrameError(f"cannot decode {path}: {reason}", _HINT) from error


def _decode_jpeg(file: BinaryIO) -> NDArray[np.uint8] | None:
    """Return the pixels of an RGB image; None if Pillow must decode it, or explain why it is damaged."""
    decode = _jpeg_decoder()
    if decode is None:
        return None
    file.seek(0)
    try:
        return decode(file.read(), "RGB")
    except ValueError:  # also for what libjpeg only warns of, such as a missing end
        return None


@cache
def _jpeg_decoder() -> Callable[[bytes, str], NDArray[np.uint8]] | None:
    """Return simplejpeg's decoder, if it is installed (a failing import takes longer than a small frame)."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    decode: Callable[[bytes, str], NDArray[np.uint8]] = decode_jpeg
    return decode


def _check_size(size: tuple[int, int], limit: int | None) -> None:
    """Raise ValueError if an image has too many pixels; Pillow itself only issues a warning up to twice the limit."""
    if limit is not None and size[0] * size[1] > limit:
        raise ValueError(f"{size[0]} x {size[1]} pixels exceed the limit of {limit}")
