"""Disk checks: free space where vbench writes, and the bundles in the working directory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .finding import CheckResult, Finding, absent, findings, ok, problem

_LOW_SPACE_BYTES = 2e9  # enough to export a ResNet-50 bundle in all precisions


def check() -> list[Finding]:
    """Return findings about free space and bundles."""
    return findings(
        "disk",
        {
            "this folder": lambda: _room(Path.cwd(), "free up some space, or start vbench in another folder"),
            "temporary files": lambda: _room(Path(tempfile.gettempdir()), "export TMPDIR=DIR on a larger disk"),
            "bundles": _bundles,
        },
    )


def _room(folder: Path, remedy: str) -> CheckResult:
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free"
    return ok(detail) if free >= _LOW_SPACE_BYTES else problem(detail, remedy)


def _bundles() -> CheckResult:
    paths = (file.parent for file in Path("bundles").glob("*/manifest.json"))
    found = sorted(path.name for path in paths if not path.name.startswith("."))  # exclude incomplete ones
    return ok(f"{len(found)}: {some(found)}") if found else absent("none in bundles/", "vbench export CHECKPOINT")


def some(names: list[str]) -> str:
    """Return the first three of ``names`` as text."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
