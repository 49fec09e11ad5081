"""``vbench export``: turn a checkpoint into a bundle that runs without torch.

Read the checkpoint, split the network into parts, write them to a temporary folder next to the destination, compare
each part and the complete network with PyTorch, and then rename the folder. A failed export leaves nothing behind.
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
from ..input_files import read_text
from ..models.checkpoint.input_size import InputSize
from ..models.checkpoint.recognize import load_sized_network
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
        progress: called with the name of each stage as it starts.
        calibration: source of the calibration frames for 8-bit precisions.

    Raises:
        CheckpointError: the checkpoint cannot be read or contains an unsupported network.
        UsageError: an option is out of range or unsupported by this network, or ``out`` exists.
        CheckError: fp32 differs from PyTorch by more than ``options.max_error``, or another precision's results are
            unusable.
        DatasetError: no calibration video could be decoded.
        MissingError: ONNX Runtime is not installed, or the disk is full.
    """
    options.check()
    check_precisions(options.precisions, calibration)
    out = out.absolute()
    if options.force and out.exists() and not (out / MANIFEST).is_file():
        raise UsageError(f"{out} is not a bundle, so --force does not replace it", "choose another name with -o")
    with whole_folder(out, replace=options.force) as folder:
        progress("reading the checkpoint")
        network, size = load_sized_network(checkpoint, options.input_size)
        family = EXPORTERS.get(network.family)
        family.check_options(network, checkpoint, options)
        names = class_names(options.class_names, network.classes)
        common = _manifest_fields(network, names, _source(checkpoint, out, size), options)
        job = ExportJob(folder, options, common, calibration, progress)
        manifest: Manifest = family.write(network, job)
        _write_manifest(folder, manifest)
        checks = family.verify(network, Bundle(folder, manifest), job)
        manifest = manifest.model_copy(update={"checks": checks})
        _write_manifest(folder, manifest)
    return Bundle(out, manifest)


def class_names(path: Path | None, classes: int) -> tuple[str, ...] | None:
    """Return the class names listed in the file at ``path``, one per line; None if no file is given.

    Raises:
        UsageError: the file cannot be read, or does not contain ``classes`` distinct names.
    """
    if path is None:
        return None
    try:
        names = tuple(line.strip() for line in read_text(path).splitlines())
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"cannot read {path} as a list of class names", "pass a text file with one name per line"
        ) from None
    if len(names) != classes:
        raise UsageError(f"{path} holds {len(names)} names for {classes} classes", "write one name per line")
    repeated = next((name for name in names if name and names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"{path} lists the class {repeated!r} twice", "give each class a unique name")
    return names


def _source(checkpoint: Path, out: Path, size: InputSize) -> CheckpointSource:
    return CheckpointSource(
        path=Path(os.path.relpath(checkpoint.resolve(), out.resolve())).as_posix(),
        size_bytes=checkpoint.stat().st_size,
        sha256=sha256(checkpoint),
        input_size_origin=size.origin,
        recorded_input_size=size.recorded,
    )


def _manifest_fields(
    network: Network, names: tuple[str, ...] | None, source: CheckpointSource, options: ExportOptions
) -> dict[str, Any]:
    """Return the manifest fields that are common to all families and known before any file is written."""
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
        "probabilities": options.stated_probabilities,
    }


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
