"""``vbench export``: from a checkpoint to a bundle that needs no torch.

Read the checkpoint, cut the network into parts, write them into a folder beside the destination, compare every part
and the whole with PyTorch, and only then give the folder its name. Whatever fails on the way leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx
import torch

from .. import __version__
from ..errors import UsageError
from ..files import sha256, whole_folder
from ..models.checkpoint.recognize import Network, load_network
from ..models.ffn.base import FrameFlexible
from ..models.frameexit.network import FrameExit
from ..runtime.bundle.bundle import MANIFEST, Bundle
from ..runtime.bundle.manifest import FlexibleManifest, FrameExitManifest, Manifest, Preprocessing, Source
from . import frame_counts, frameexit
from .options import ExportOptions
from .precision.activation_ranges import Calibration
from .precision.recipes import check_precisions

__all__ = ["Calibration", "ExportOptions", "export_checkpoint"]

AnyManifest = FrameExitManifest | FlexibleManifest


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    options: ExportOptions,
    progress: Callable[[str], None] = lambda _: None,
    calibration: Calibration | None = None,
) -> Bundle[AnyManifest]:
    """Export ``checkpoint`` to the bundle ``out`` and return it.

    Args:
        progress: called with the name of each stage as it begins.
        calibration: where the frames come from that 8-bit precisions are calibrated with.

    Raises:
        CheckpointError: the checkpoint cannot be read or is of another network.
        UsageError: an option is out of range or not for this network, or ``out`` is there already.
        CheckError: fp32 differs from PyTorch by more than ``options.max_error``, or another precision is of no use.
        DatasetError: no calibration video gave frames.
        MissingError: ONNX Runtime is not installed, or the disk is full.
    """
    options.check()
    check_precisions(options.precisions, calibration)
    out = out.absolute()
    if options.force and out.exists() and not (out / MANIFEST).is_file():
        raise UsageError(f"{out}: not a bundle, --force does not replace it", "choose another name with -o")
    with whole_folder(out, replace=options.force) as folder:
        progress("reading the checkpoint")
        network = load_network(checkpoint, options.input_size)
        _check_for(network, checkpoint, options)
        names = class_names(options.class_names, _classes(network))
        common = _common(network, names, _source(checkpoint, out), options)
        manifest = _written(network, folder, common, options, calibration, progress)
        _write_manifest(folder, manifest)
        manifest = _checked(network, Bundle(folder, manifest), options, progress)
        _write_manifest(folder, manifest)
    return Bundle(out, manifest)


def _check_for(network: Network, checkpoint: Path, options: ExportOptions) -> None:
    if isinstance(network, FrameExit):
        frameexit.check_options(network, checkpoint, options)
    else:
        frame_counts.check_options(network, checkpoint, options)


def _written(
    network: Network,
    folder: Path,
    common: dict[str, Any],
    options: ExportOptions,
    calibration: Calibration | None,
    progress: Callable[[str], None],
) -> AnyManifest:
    if isinstance(network, FrameExit):
        return frameexit.write(network, folder, common, options, calibration, progress)
    return frame_counts.write(network, folder, common, options, progress)


def _checked(
    network: Network, bundle: Bundle[AnyManifest], options: ExportOptions, progress: Callable[[str], None]
) -> AnyManifest:
    manifest = bundle.manifest
    if isinstance(manifest, FrameExitManifest):
        assert isinstance(network, FrameExit)
        checks = frameexit.checks(Bundle(bundle.path, manifest), network, options, progress)
    else:
        assert isinstance(network, FrameFlexible)
        checks = frame_counts.checks(Bundle(bundle.path, manifest), network, options, progress)
    return manifest.model_copy(update={"checks": checks})


def _classes(network: Network) -> int:
    return network.head.classes if isinstance(network, FrameExit) else network.classes


def class_names(path: Path | None, classes: int) -> tuple[str, ...] | None:
    """Return the names in the file at ``path``, one a line, None if there is no file.

    Raises:
        UsageError: it cannot be read, or its names are not one for each of the ``classes``.
    """
    if path is None:
        return None
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"{path}: cannot be read as a list of class names", "give a text file, one name a line"
        ) from None
    if len(names) != classes:
        raise UsageError(f"{path}: {len(names)} names for {classes} classes", "give one name a line")
    repeated = next((name for name in names if name and names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"{path}: the class {repeated!r} stands there twice", "give each class a name of its own")
    return names


def _source(checkpoint: Path, out: Path) -> Source:
    return Source(
        path=Path(os.path.relpath(checkpoint.resolve(), out.resolve())).as_posix(),
        size_bytes=checkpoint.stat().st_size,
        sha256=sha256(checkpoint),
    )


def _common(network: Network, names: tuple[str, ...] | None, source: Source, options: ExportOptions) -> dict[str, Any]:
    """Return what the manifest of any network says before anything is written."""
    return {
        "network": network.name,
        "classes": _classes(network),
        "class_names": names,
        "preprocessing": Preprocessing(**asdict(network.preprocessing)),
        "precisions": options.precisions,
        "source": source,
        "versions": {"vbench": __version__, "torch": torch.__version__, "onnx": onnx.__version__},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "checks": {},
    }


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
