"""``vbench migrate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common.extras import needs
from .common.output import note, print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bench.migrate.migrate import MigratedFile
    from ..errors import VbenchError
    from ..runtime.bundle.bundle import Bundle
    from ..runtime.bundle.manifest import FrameExitManifest
    from ..runtime.bundle.step_parts import StepPartsManifest


def migrate(
    paths: Annotated[
        list[Path], typer.Argument(help="Bundle, run folder, folder of these, or trace.parquet.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the changes without writing them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Convert bundles, runs and traces from an older version in place.

    Files are replaced atomically; current files are left unchanged. Unfinished runs are rejected: finish them with the
    vbench version that started them before you migrate their bundle. Runs and traces keep the digest of the bundle
    they were recorded with.

    In FrameExit bundles with a gate and a classifier per step, the parts gates and classifiers replace them. This
    requires the package onnx, but not the checkpoint.

    Example: vbench migrate bundles runs

    Preview the changes: vbench migrate runs --dry-run
    """
    from ..bench.migrate import find_targets, migrate_target
    from ..errors import BundleError, CheckError, RunError, UsageError

    targets = list(dict.fromkeys(target for path in paths for target in find_targets(path)))
    files: list[MigratedFile] = []
    errors: dict[Path, VbenchError] = {}
    for target in targets:
        try:
            found = migrate_target(target, _merge_steps, dry_run=dry_run)
        except (BundleError, CheckError, RunError, UsageError) as error:
            errors[target] = error
            continue
        files += found
        if not as_json:
            print_lines(_line(file, dry_run=dry_run) for file in found)
            sys.stdout.flush()
    if as_json:
        print_json(_document(files, errors, dry_run=dry_run))
    _raise(errors, len(targets))


def _merge_steps(bundle: Bundle[StepPartsManifest]) -> Callable[[], FrameExitManifest]:
    with needs("migrate"):
        from ..export.heads.migrate import merge_steps

    return merge_steps(bundle)


def _line(file: MigratedFile, *, dry_run: bool) -> str:
    schema = f"schema {file.after}" if file.before == file.after else f"schema {file.before} -> {file.after}"
    detail = "already current" if not file.changed else file.detail
    words = ", ".join(filter(None, (file.kind, schema, detail)))
    return f"{file.path}: {words}{' (not written)' if dry_run and file.changed else ''}"


def _document(files: list[MigratedFile], errors: dict[Path, VbenchError], *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "files": [
            {
                "path": str(file.path),
                "kind": file.kind,
                "schema_before": file.before,
                "schema_after": file.after,
                "changed": file.changed,
                "detail": file.detail,
            }
            for file in files
        ],
        "errors": [{"path": str(path), "error": str(error)} for path, error in errors.items()],
    }


def _raise(errors: dict[Path, VbenchError], targets: int) -> None:
    """Raise the only error, or print all of them and raise a summary."""
    from ..errors import UsageError

    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        for error in errors.values():
            note(str(error))
        raise UsageError(f"{len(errors)} of {targets} cannot be migrated", "see the errors above")
