"""The input size and the frame count at which a network was trained, which its tensors do not reveal.

The size is taken from the checkpoint's own entries, or from a record: a JSON object with ``input_size`` (side length of
the square in pixels) in a file next to the checkpoint that has the same name with the extension ``.json``, as written
by vbench's training tools.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ...errors import CheckpointError
from ...input_files import read_file
from ...json_file import parse_json

SIZE_KEYS = ("input_size", "img_size", "image_size", "crop_size")
_CONFIGURATIONS = ("args", "config", "cfg", "hyper_parameters")
# In the YAML text that SlowFast stores. X3D's test crop is for 30 views, but the published cost is for the training
# crop, at which ten views are tested.
_CROP = re.compile(r"^ *TEST_CROP_SIZE: *(\d+) *$", re.MULTILINE)
_TRAINING_CROP = re.compile(r"^ *TRAIN_CROP_SIZE: *(\d+) *$", re.MULTILINE)
_X3D = re.compile(r"^ *ARCH: *x3d *$", re.MULTILINE)
_FRAMES = re.compile(r"^ *NUM_FRAMES: *(\d+) *$", re.MULTILINE)
_SMALLEST, _LARGEST = 32, 4096
_HINT = "correct it, or pass --input-size"

Origin = Literal["option", "checkpoint", "record", "default"]


class InputSize(NamedTuple):
    """Input size of a network in pixels (None: the network's default), its origin, and the size stated in a file."""

    pixels: int | None
    origin: Origin
    recorded: int | None = None


def choose_input_size(path: Path, entries: Mapping[str, Any], requested: int | None) -> InputSize:
    """Return ``requested`` if given, or else the size stated in the checkpoint at ``path`` or in a record next to it.

    Args:
        entries: the checkpoint's entries other than the weights.

    Raises:
        CheckpointError: ``requested`` is None, and a stated size is invalid or the two stated sizes differ.
    """
    try:
        recorded = _recorded(path, entries)
    except CheckpointError:
        if requested is None:
            raise
        recorded = None
    if requested is not None:
        return InputSize(requested, "option", None if recorded is None else recorded.pixels)
    return recorded or InputSize(None, "default")


def recorded_frames(entries: Mapping[str, Any]) -> int | None:
    """Return the number of frames per clip stated in SlowFast's configuration; None if there is no configuration."""
    text = entries.get("cfg")
    found = _FRAMES.search(text) if isinstance(text, str) else None
    return None if found is None else int(found[1])


def record_path(checkpoint: Path) -> Path:
    """Return the path of a checkpoint's record, such as ``net.json`` for ``net.pth.tar``."""
    stem = re.sub(r"(\.(pth|pyth|pt|tar))+$", "", checkpoint.name)
    return checkpoint.with_name(f"{stem}.json")


def _recorded(path: Path, entries: Mapping[str, Any]) -> InputSize | None:
    own, record = _of_checkpoint(path, entries), _of_record(record_path(path))
    if own is not None and record is not None and own != record:
        raise CheckpointError(
            f"{path} states the input size {own}, but {record_path(path)} states {record}", "pass --input-size"
        )
    if own is not None:
        return InputSize(own, "checkpoint", own)
    return None if record is None else InputSize(record, "record", record)


def _of_checkpoint(path: Path, entries: Mapping[str, Any]) -> int | None:
    for name in SIZE_KEYS:
        if entries.get(name) is not None:
            return _pixels(entries[name], f"{path}: {name}")
    for name in _CONFIGURATIONS:
        found = _of_configuration(entries.get(name), f"{path}: {name}")
        if found is not None:
            return found
    return None


def _of_configuration(content: object, place: str) -> int | None:
    if isinstance(content, str):
        crop = (_TRAINING_CROP if _X3D.search(content) else _CROP).search(content)
        return None if crop is None else _pixels(int(crop[1]), f"{place}: {crop[0].split(':')[0].strip()}")
    if not isinstance(content, Mapping):
        return None
    data = content.get("DATA")
    values = [content.get(name) for name in SIZE_KEYS]
    values += [data.get("TEST_CROP_SIZE")] if isinstance(data, Mapping) else []
    # Configurations written by other tools also use these names, with values of other types.
    return next((_pixels(value, place) for value in values if type(value) is int), None)


def _of_record(path: Path) -> int | None:
    if not path.is_file():
        return None
    try:
        content = parse_json(read_file(path))
    except (OSError, ValueError):
        raise CheckpointError(f"{path}, the checkpoint's record, is not readable as JSON", _HINT) from None
    if not isinstance(content, dict) or content.get("input_size") is None:
        return None
    return _pixels(content["input_size"], f"{path}: input_size")


def _pixels(value: object, place: str) -> int:
    """Return the side length of a square, given as a number or as height and width, possibly preceded by channels."""
    sides = list(value)[-2:] if isinstance(value, (list, tuple)) and len(value) in (2, 3) else [value]
    first = sides[0]
    if type(first) is not int or not _SMALLEST <= first <= _LARGEST or any(side != first for side in sides):
        text = repr(value)
        raise CheckpointError(
            f"{place} is {text if len(text) <= 40 else text[:37] + '...'}, not a size from {_SMALLEST} to {_LARGEST} "
            "pixels",
            _HINT,
        )
    return first
