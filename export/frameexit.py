"""``vbench export``: from a FrameExit checkpoint to a bundle that needs no torch.

Read the checkpoint, cut the network into parts, write them into a folder beside the destination, compare every part
and the whole with PyTorch, and only then give the folder its name. Whatever fails on the way leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import onnx
import torch

from .. import __version__
from ..errors import MissingError, UsageError
from ..models.frameexit import FrameExit
from ..models.preprocess import MEAN, STD
from ..models.recognise import load_as
from ..runtime.bundle import MANIFEST, Bundle
from ..runtime.engine import Engine, EngineOptions, load_engine
from ..runtime.files import sha256, whole_folder
from ..runtime.manifest import Check, Manifest, PolicySpec, Preprocessing, Source
from ..runtime.policy import frameexit_policy
from ..runtime.torch_engine import TorchEngine
from .calibrate import Calibration
from .precision import check_precisions
from .trace import DEFAULT_OPSET, OPSETS
from .verify import verify
from .write import Written, write_parts

__all__ = ["Calibration", "ExportOptions", "export_frameexit"]


@dataclass(frozen=True)
class ExportOptions:
    """Choices of an export; None takes the network's or the authors' default.

    Attributes:
        precisions: precisions to make, see ``PRECISIONS`` in ``precision.py``; the 8-bit ones need a calibration.
        input_size: side of the network's square input in pixels.
        opset: ONNX operator set.
        max_error: tolerance of the numerical check of fp32, see ``verify``.
        first_threshold: the bundle's default confidence for an exit at step 1.
        class_names: file with one class name a line, in the order of the classifiers' outputs.
        force: replace a bundle that is there already.
    """

    precisions: tuple[str, ...] = ("fp32",)
    input_size: int | None = None
    opset: int = DEFAULT_OPSET
    max_error: float = 1e-4
    first_threshold: float = 0.95
    class_names: Path | None = None
    force: bool = False


def export_frameexit(
    checkpoint: Path,
    out: Path,
    options: ExportOptions,
    progress: Callable[[str], None] = lambda _: None,
    calibration: Calibration | None = None,
) -> Bundle:
    """Export ``checkpoint`` to the bundle ``out`` and return it.

    Args:
        progress: called with the name of each stage as it begins.
        calibration: where the frames come from that 8-bit precisions are calibrated with.

    Raises:
        CheckpointError: the checkpoint cannot be read or is of another network.
        UsageError: an option is out of range, or ``out`` is there already.
        CheckError: fp32 differs from PyTorch by more than ``options.max_error``, or another precision is of no use.
        DatasetError: no calibration video gave frames.
        MissingError: ONNX Runtime is not installed, or the disk is full.
    """
    _check_options(options)
    check_precisions(options.precisions, calibration)
    out = out.absolute()
    if options.force and out.exists() and not (out / MANIFEST).is_file():
        raise UsageError(f"{out}: not a bundle, --force does not replace it", "choose another name with -o")
    with whole_folder(out, replace=options.force) as folder:
        progress("reading the checkpoint")
        network = load_as(FrameExit, checkpoint, options.input_size)
        names = _class_names(options.class_names, network.head.classes)
        source = _source(checkpoint, out)
        progress("tracing and cutting the network")
        written = write_parts(network, folder, options.opset, options.precisions, calibration, progress)
        manifest = _manifest(network, written, names, source, options)
        _write_manifest(folder, manifest)
        checks = _checks(Bundle(folder, manifest), network, options.max_error, progress)
        manifest = manifest.model_copy(update={"checks": checks})
        _write_manifest(folder, manifest)
    return Bundle(out, manifest)


def _check_options(options: ExportOptions) -> None:
    if options.opset not in OPSETS:
        raise UsageError(f"opset {options.opset} is not supported", f"choose {OPSETS[0]} to {OPSETS[-1]}")
    if options.input_size is not None and options.input_size < 32:
        raise UsageError(
            f"input size {options.input_size} is too small", "the network halves it five times: 32 or more"
        )
    if not 0 <= options.first_threshold <= 1:
        raise UsageError(f"first threshold {options.first_threshold} is outside [0, 1]", "give a probability")
    if not options.max_error > 0:
        raise UsageError(f"--max-error {options.max_error:g} allows nothing", "give a positive number such as 1e-4")


def _class_names(path: Path | None, classes: int) -> tuple[str, ...] | None:
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


def _manifest(
    network: FrameExit,
    written: Written,
    names: tuple[str, ...] | None,
    source: Source,
    options: ExportOptions,
) -> Manifest:
    return Manifest(
        family="frameexit",
        network=network.name,
        classes=network.head.classes,
        class_names=names,
        frames=network.head.frames,
        frame_order=network.frame_order,
        preprocessing=Preprocessing(input_size=network.input_size, mean=MEAN, std=STD),
        state_shape=(network.head.hidden,),
        parts=written.parts,
        precisions=options.precisions,
        precision_details=written.details,
        policy=PolicySpec(first_threshold=options.first_threshold, gate_threshold=0.5),
        paper_gmacs_per_frame=network.paper_gmacs_per_frame,
        source=source,
        versions={"vbench": __version__, "torch": torch.__version__, "onnx": onnx.__version__},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        checks={},
    )


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _checks(bundle: Bundle, network: FrameExit, max_error: float, progress: Callable[[str], None]) -> dict[str, Check]:
    reference = TorchEngine({part.name: part.module for part in network.parts()}, threads=0)
    defaults = bundle.manifest.policy
    policy = frameexit_policy(defaults.first_threshold, defaults.gate_threshold)
    checks = {}
    for precision in bundle.manifest.precisions:
        progress(f"checking every part against PyTorch ({precision})")
        candidate = _candidate(bundle, precision)
        checks[precision] = verify(bundle.manifest, reference, candidate, policy, max_error, precision)
    return checks


def _candidate(bundle: Bundle, precision: str) -> Engine:
    try:
        return load_engine("ort", bundle, EngineOptions(precision=precision))
    except MissingError as error:
        raise MissingError(f"the export checks its parts with ONNX Runtime: {error.what}", error.hint) from None
