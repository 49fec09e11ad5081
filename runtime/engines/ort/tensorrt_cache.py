"""Where TensorRT's provider keeps the engines that it builds, and what it builds them for.

An engine takes minutes to build and is executable code: it is kept in the bundle's folder, in one that only its owner
can enter, and under a name that changes with everything it depends on, because stale ones are not always rejected.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ....errors import UsageError
from ....files import disk_error
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..device import TF32_OVERRIDE, Gpu
from .providers import Settings

_FOLDER = "plans"
_PRECISIONS = {"fp16": "trt_fp16_enable", "bf16": "trt_bf16_enable", "int8": "trt_int8_enable"}


class Key(NamedTuple):
    """What an engine is built for beside its part and its GPU.

    Attributes:
        precision: the one that its file is in, and the only one that TensorRT may use beside float32.
        rows: the most of a batch.
        version: of ONNX Runtime.
    """

    precision: str
    rows: int
    version: str


def tensorrt_settings(bundle: Bundle[Manifest], part: str, key: Key, gpu: Gpu, names: Sequence[str]) -> Settings:
    """Return the options of TensorRT's provider for a part on ``gpu``; ``names`` are those of all GPUs.

    Raises:
        UsageError: others can write where the engine is kept, or the user cannot.
    """
    # Only what is wanted is named: releases before 1.23 do not know all of them.
    precisions = {option: "1" for name, option in _PRECISIONS.items() if key.precision.startswith(name)}
    inputs = bundle.manifest.parts[part].inputs
    shapes = {
        f"trt_profile_{end}_shapes": ",".join(_shape(tensor.name, rows, tensor.shape[1:]) for tensor in inputs)
        for end, rows in (("min", 1), ("opt", key.rows), ("max", key.rows))
    }
    folder = engine_folder(bundle, part, key, gpu, names)
    return {**precisions, **shapes, "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}


def engine_folder(bundle: Bundle[Manifest], part: str, key: Key, gpu: Gpu, names: Sequence[str]) -> Path:
    """Return the folder for a part's engine, which only this user can enter.

    Raises:
        UsageError: it is somebody else's or open to others, or cannot be made.
        MissingError: the disk is full.
    """
    manifest = bundle.manifest
    weights = manifest.weights.get(key.precision)
    depends_on = (
        key.version,
        *names,
        str(gpu),
        os.environ.get("CUDA_VISIBLE_DEVICES", ""),  # what cuda:0 is
        os.environ.get(TF32_OVERRIDE, ""),
        key.precision,
        str(key.rows),
        manifest.parts[part].files[key.precision].sha256,
        "" if weights is None else weights.sha256,
    )
    digest = hashlib.sha256("\n".join(depends_on).encode()).hexdigest()[:16]
    folder = bundle.path.resolve() / _FOLDER / f"ort-{part}-{digest}"
    try:
        folder.parent.mkdir(mode=0o755, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_owner(folder.parent, stat.S_IWOTH)
        _check_owner(folder, stat.S_IRWXG | stat.S_IRWXO)
    except OSError as error:
        raise disk_error(folder, error) from None
    return folder


def _check_owner(folder: Path, closed: int) -> None:
    """Refuse a folder that is a link, another user's, or has one of the mode's bits that are to be closed."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & closed:
        raise UsageError(
            f"{folder}: others could have put code there, which TensorRT would run",
            "remove it: it is made again, for you alone",
        )


def _shape(name: str, rows: int, rest: Sequence[int | str]) -> str:
    return f"{name}:{'x'.join(map(str, (rows, *rest)))}"
