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
from ..models.checkpoint.recognize import load_network
from ..models.network import Network
from ..runtime.bundle.bundle import MANIFEST, Bundle
from ..runtime.bundle.manifest import CheckpointSource, Manifest, Preprocessing
from .family import EXPORTERS, ExportJob
from .options import ExportOptions
from .precision.activation_ranges import Calibration
from .precision.recipes import check_precisions

__all__ = ["Calibration", "ExportOptions", "export_checkpoint"]


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    options: ExportOptions,
    progress: Callable[[str], None] = lambda _: None,
    calibration: Calibration | None = None,
) -> Bundle[Manifest]:
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
        family = EXPORTERS.get(network.family)
        family.check_options(network, checkpoint, options)
        names = class_names(options.class_names, network.classes)
        common = _manifest_fields(network, names, _source(checkpoint, out), options)
        job = ExportJob(folder, options, common, calibration, progress)
        manifest: Manifest = family.write(network, job)
        _write_manifest(folder, manifest)
        checks = family.verify(network, Bundle(folder, manifest), job)
        manifest = manifest.model_copy(update={"checks": checks})
        _write_manifest(folder, manifest)
    return Bundle(out, manifest)


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


def _source(checkpoint: Path, out: Path) -> CheckpointSource:
    return CheckpointSource(
        path=Path(os.path.relpath(checkpoint.resolve(), out.resolve())).as_posix(),
        size_bytes=checkpoint.stat().st_size,
        sha256=sha256(checkpoint),
    )


def _manifest_fields(
    network: Network, names: tuple[str, ...] | None, source: CheckpointSource, options: ExportOptions
) -> dict[str, Any]:
    """Return the fields of the manifest that are known of any network before anything is written."""
    return {
        "architecture": network.architecture,
        "network": network.name,
        "classes": network.classes,
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
