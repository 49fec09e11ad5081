"""Image files: list a folder and read pixels as stored (orientation tags are ignored)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError

IMAGE_EXTENSIONS = (".jpeg", ".jpg", ".png", ".JPEG", ".JPG", ".PNG")


def image_names(folder: Path, extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> tuple[str, ...]:
    """Return the names in `folder` that end in one of `extensions`, sorted as strings.

    Raises:
        FrameError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.name.endswith(extensions)))
    except OSError as error:
        raise FrameError(f"cannot list {folder}: {error.strerror}", "give a folder of images") from error


def read_image(path: Path, convert: bool = False) -> NDArray[np.uint8]:
    """Return the image as uint8 RGB [H, W, 3]; with `convert`, other modes (gray, palette) are converted to RGB.

    Raises:
        FrameError: the file is missing, damaged or truncated, or is not stored as RGB and `convert` is false. The
            default rejects other modes because FrameExit's networks were trained without converted images (its reader
            rejects them too).
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode != "RGB" and not convert:
                raise FrameError(f"{path} is an image of mode {image.mode}", "convert it to RGB")
            return np.asarray(image.convert("RGB") if convert else image, dtype=np.uint8)
    except FileNotFoundError as error:
        raise FrameError(f"{path} does not exist", "give the path of an image") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise FrameError(f"cannot decode {path}: {reason}", "replace the image or exclude the video") from error
