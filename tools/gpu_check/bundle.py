"""The bundles to check: given ones, or the goldens' networks, exported here.

The goldens' networks are a FrameExit ResNet-50 and a TSM ResNet-50 as a Frame Flexible Network. The export runs in a
separate process, because it takes memory and may fail; fp16 is left out if only fp16 fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vbench.errors import CheckError, UsageError
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.families import family_of

FRAMEEXIT, FLEXIBLE = "frameexit_r50", "tsm_ffn_r50"
_LIMIT_S = 1800
_PRECISIONS = {FRAMEEXIT: (("fp32", "fp16"), ("fp32",)), FLEXIBLE: (("fp32",),)}
_CODE = (
    "import sys; sys.path[:] = {path!r}; from tools.gpu_check.bundle import export; "
    "export({model!r}, {folder!r}, {precisions!r})"
)


def frameexit_bundle(path: Path) -> Bundle[Manifest]:
    """Open a bundle.

    Raises:
        UsageError: it does not hold a network with early exits, such as FrameExit.
        BundleError: it cannot be opened.
    """
    return _open(path, "FrameExit", cumulative=True)


def flexible_bundle(path: Path) -> Bundle[Manifest]:
    """Open a bundle.

    Raises:
        UsageError: it does not hold a frame-flexible network.
        BundleError: it cannot be opened.
    """
    return _open(path, "frame-flexible network", cumulative=False)


def _open(path: Path, kind: str, *, cumulative: bool) -> Bundle[Manifest]:
    bundle = open_bundle(path)
    if family_of(bundle.manifest).cumulative != cumulative:
        raise UsageError(f"{path} does not hold a {kind}", "give the bundle of one")
    return Bundle(bundle.path, bundle.manifest)


def step_frames(manifest: Manifest) -> tuple[int, ...]:
    """Return the number of frames each step of a network reads."""
    return tuple(step.frames for step in family_of(manifest).steps(manifest))


def export_golden(model: str, folder: Path) -> Path:
    """Export a checkpoint of the goldens to a folder and return the bundle's path.

    Raises:
        CheckError: the export failed; the message states the reason.
    """
    error = ""
    for precisions in _PRECISIONS[model]:
        print(f"exporting the goldens' {model} in {' and '.join(precisions)}", file=sys.stderr, flush=True)
        error = _export(model, folder, precisions)
        if not error:
            return _bundle(model, folder, precisions)
        print(f"the export failed: {error}", file=sys.stderr)
    raise CheckError(f"{model} cannot be exported here: {error}", "export it elsewhere, see docs/gpu.md")


def _bundle(model: str, folder: Path, precisions: tuple[str, ...]) -> Path:
    return folder / "bundles" / f"{model}_{precisions[-1]}"


def _export(model: str, folder: Path, precisions: tuple[str, ...]) -> str:
    code = _CODE.format(path=sys.path, model=model, folder=str(folder), precisions=precisions)
    try:
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"the export did not finish within {_LIMIT_S} s"
    if ended.returncode == 0:
        return ""
    return next(reversed(ended.stderr.strip().splitlines()), f"exit code {ended.returncode}")


def export(model: str, folder: str, precisions: tuple[str, ...]) -> None:
    """Write a checkpoint of the goldens and export it; requires torch."""
    from vbench.export.exporter import ExportOptions, export_checkpoint

    checkpoint = Path(folder) / f"{model}.pth"
    if not checkpoint.exists():
        _save(model, checkpoint)
    export_checkpoint(checkpoint, _bundle(model, Path(folder), precisions), ExportOptions(precisions=precisions))


def _save(model: str, path: Path) -> None:
    import torch

    from tests.golden.ffn2d.make_checkpoint import checkpoint
    from tests.golden.make_checkpoint import state_dict

    if model == FLEXIBLE:
        torch.save(checkpoint(model)[0], path)
    else:
        torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, path)
