"""Picture files: which ones a folder holds, and their pixels as they are stored (no orientation tag is followed)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError

IMAGE_EXTENSIONS = (".jpeg", ".jpg", ".png", ".JPEG", ".JPG", ".PNG")


def image_names(folder: Path, extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> tuple[str, ...]:
    """Names in `folder` that end in one of `extensions`, sorted as strings.

    Raises:
        FrameError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.name.endswith(extensions)))
    except OSError as error:
        raise FrameError(f"cannot list {folder}: {error.strerror}", "name a folder of pictures") from error


def read_image(path: Path, convert: bool = False) -> NDArray[np.uint8]:
    """The picture as uint8 RGB [H, W, 3]; with `convert` one of another mode (grey, palette) is turned into RGB.

    Raises:
        FrameError: the file is missing, damaged or cut short, or is not stored as RGB without `convert`. By default
            nothing is converted, because FrameExit's networks were never shown a converted picture (its reader refuses
            it too).
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode != "RGB" and not convert:
                raise FrameError(f"{path} is a picture of mode {image.mode}", "convert it to RGB")
            return np.asarray(image.convert("RGB") if convert else image, dtype=np.uint8)
    except FileNotFoundError as error:
        raise FrameError(f"{path} does not exist", "give the path of a picture") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise FrameError(f"cannot decode {path}: {reason}", "replace the picture or leave the video out") from error
