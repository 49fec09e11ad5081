"""The bundle that is checked: one that is given, or the FrameExit ResNet-50 of the goldens, exported here.

The export runs in a process of its own, as it takes memory and may fail; fp16 is left out where only that fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vbench.errors import CheckError, UsageError
from vbench.runtime.bundle import Bundle, open_bundle
from vbench.runtime.manifest import FrameExitManifest

_LIMIT_S = 1800
_PRECISIONS = (("fp32", "fp16"), ("fp32",))
_CODE = (
    "import sys; sys.path[:] = {path!r}; from tools.gpu_check.bundle import export; export({folder!r}, {precisions!r})"
)


def frameexit_bundle(path: Path) -> Bundle[FrameExitManifest]:
    """Open a bundle.

    Raises:
        UsageError: it is not of a FrameExit.
        BundleError: it cannot be opened.
    """
    bundle = open_bundle(path)
    if not isinstance(bundle.manifest, FrameExitManifest):
        raise UsageError(f"{path}: no FrameExit", "give the bundle of one")
    return Bundle(bundle.path, bundle.manifest)


def exported(folder: Path) -> Bundle[FrameExitManifest]:
    """Export the goldens' checkpoint into a folder.

    Raises:
        CheckError: it cannot be exported here; the message says why.
    """
    said = ""
    for precisions in _PRECISIONS:
        print(f"exporting the goldens' network in {' and '.join(precisions)}", file=sys.stderr, flush=True)
        said = _export(folder, precisions)
        if not said:
            return frameexit_bundle(folder / "bundles" / precisions[-1])
        print(f"that failed: {said}", file=sys.stderr)
    raise CheckError(
        f"no bundle can be exported here: {said}", "export it elsewhere, see docs/gpu.md, and add --bundle"
    )


def _export(folder: Path, precisions: tuple[str, ...]) -> str:
    code = _CODE.format(path=sys.path, folder=str(folder), precisions=precisions)
    try:
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"not done within {_LIMIT_S} s"
    if ended.returncode == 0:
        return ""
    return next(reversed(ended.stderr.strip().splitlines()), f"ended with code {ended.returncode}")


def export(folder: str, precisions: tuple[str, ...]) -> None:
    """Write the checkpoint of the goldens and export it; needs torch."""
    import torch

    from tests.golden.make_checkpoint import state_dict
    from vbench.export.exporter import ExportOptions, export_checkpoint

    checkpoint = Path(folder) / "frameexit_r50.pth"
    if not checkpoint.exists():
        torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, checkpoint)
    export_checkpoint(checkpoint, Path(folder) / "bundles" / precisions[-1], ExportOptions(precisions=precisions))
