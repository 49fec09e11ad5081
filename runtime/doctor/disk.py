"""Room on the disks that vbench writes to, and what of its own lies in the folder it was started in."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from .finding import Fact, Finding, absent, findings, ok, trouble

_LITTLE_BYTES = 2e9  # a bundle of a ResNet-50 in all precisions and its export


def check() -> list[Finding]:
    """Return room, bundles and runs."""
    return findings(
        "disk",
        {
            "this folder": lambda: _room(Path.cwd(), "free some space, or start vbench in another folder"),
            "temporary files": lambda: _room(Path(tempfile.gettempdir()), "export TMPDIR=DIR on a larger disk"),
            "bundles": _bundles,
            "runs": _runs,
        },
    )


def _room(folder: Path, remedy: str) -> Fact:
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free"
    return ok(detail) if free >= _LITTLE_BYTES else trouble(detail, remedy)


def _bundles() -> Fact:
    found = sorted(path.parent.name for path in Path("bundles").glob("*/manifest.json"))
    return ok(f"{len(found)}: {_some(found)}") if found else absent("none in bundles/", "vbench export CHECKPOINT")


def _runs() -> Fact:
    found = sorted(Path("runs").glob("*/run.json"))
    if not found:
        return absent("none in runs/", "vbench run BUNDLE")
    unfinished = [path.parent.name for path in found if not _complete(path)]
    return ok(f"{len(found)}" + (f", {len(unfinished)} unfinished: {_some(unfinished)}" if unfinished else ""))


def _complete(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes())["complete"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
