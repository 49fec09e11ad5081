"""Convert bundles, runs and traces from older schema versions in place, for ``vbench migrate``.

Each file is validated against the current schema, written next to the old one, and renamed when all files of its folder
are complete. ``run.json`` is renamed last, so migrating a folder again after an interruption converts the rest. Files
that the new manifest of a bundle no longer lists are removed after it is renamed, if necessary by the next migration.

Migration changes the SHA-256 of a manifest. Runs and traces keep the digest of the manifest they were recorded with.
Unfinished runs are rejected: their journal has the old format, and resuming compares digests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...errors import RunError, UsageError
from ...files import disk_error, whole_file
from ...paths import inside
from ...runtime.bundle.bundle import MANIFEST, Bundle, open_bundle
from ...runtime.bundle.manifest import SCHEMA_VERSION as BUNDLE_VERSION
from ...runtime.bundle.migrate import MergeSteps, migrate_manifest
from ...runtime.bundle.step_parts import StepPartsManifest
from ..records.lock import RunLock
from ..records.parquet import write_table
from ..records.run_file import OLDEST_MIGRATED as OLDEST_RUN
from ..records.run_file import RUN_FILE, is_run, read_content, version_error
from ..records.run_file import SCHEMA_VERSION as RUN_VERSION
from ..records.tables import PREDICTIONS, has_predictions, read_any_predictions
from ..trace.trace import OLDEST_MIGRATED as OLDEST_TRACE
from ..trace.trace import SCHEMA_VERSION as TRACE_VERSION
from ..trace.trace_file import TRACE, parse_header, read_header_content, read_trace_table, write_trace_table
from .run_record import RENAMED_COLUMNS, migrate_record
from .trace_header import migrate_header

_DEPTH = 3  # bundles/NAME and runs/NAME/VARIANT in a project's folder
_HINT = "pass a bundle, a run folder, a folder that contains them, or a trace.parquet"


@dataclass(frozen=True)
class MigratedFile:
    """A file and its conversion.

    Attributes:
        kind: ``bundle``, ``run``, ``predictions`` or ``trace``.
        before, after: schema versions; equal if the file is already current, or only ``detail`` changes.
        detail: the change that the schema versions do not show.
        write: writes the converted file; None if the file is already current.
    """

    path: Path
    kind: str
    before: int
    after: int
    detail: str | None = None
    write: Callable[[Path], None] | None = field(default=None, repr=False, compare=False)

    @property
    def changed(self) -> bool:
        """Whether the file has an older version."""
        return self.write is not None


def find_targets(path: Path) -> list[Path]:
    """Return the bundles and run folders at or below ``path``, or ``path`` itself if it is a trace file.

    Raises:
        UsageError: there is none.
    """
    if path.is_file():
        return [path.parent if path.name in (MANIFEST, RUN_FILE) else path]
    if not path.is_dir():
        raise UsageError(f"{path} does not exist", _HINT)
    found = list(_targets(path, _DEPTH))
    if not found:
        raise UsageError(f"{path} contains no bundles, runs or traces", _HINT)
    return found


def _targets(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / MANIFEST).is_file() or is_run(folder) or (folder / TRACE).is_file():
        yield folder
    elif depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield from _targets(child, depth - 1)


def migrate_target(target: Path, merge_steps: MergeSteps, *, dry_run: bool = False) -> list[MigratedFile]:
    """Convert a bundle, the files of a run folder, or a trace file.

    Args:
        merge_steps: replaces the parts for single steps in a bundle that has such parts.
        dry_run: only return the conversions.

    Raises:
        BundleError, RunError, UsageError: a file is damaged or has a version that cannot be converted, or the run is
            unfinished or is being written to by another process.
        CheckError: the new parts of a bundle do not agree with those that they replace.
        MissingError: the disk is full, or a package that ``merge_steps`` needs is not installed.
    """
    if target.is_file():
        files = [_trace(target)]
    elif (target / MANIFEST).is_file():
        files = [_bundle(target / MANIFEST, merge_steps)]
    else:
        files = list(_run_folder(target))
        if not dry_run and any(file.changed for file in files):
            return _write_run(target)
    if not dry_run:
        _write(files)
        if (target / MANIFEST).is_file():
            _remove_replaced_files(target)
    return files


def _write_run(run: Path) -> list[MigratedFile]:
    """Convert the files of a run, some of which another process may have converted in the meantime."""
    with ExitStack() as stack:
        stack.callback(RunLock(run).release, run)
        files = list(_run_folder(run))
        _write(files)
    return files


def _write(files: list[MigratedFile]) -> None:
    """Write all converted files, then move each into place, the first one last."""
    with ExitStack() as stack:
        for file in files:
            if file.write is not None:
                file.write(stack.enter_context(whole_file(file.path)))


def _bundle(path: Path, merge_steps: MergeSteps) -> MigratedFile:
    version, manifest = migrate_manifest(path)
    if isinstance(manifest, StepPartsManifest):
        return _step_parts(path, version, manifest, merge_steps)
    write = partial(_write_text, text=manifest.model_dump_json(indent=1))
    return MigratedFile(path, "bundle", version, BUNDLE_VERSION, write=None if version == BUNDLE_VERSION else write)


def _step_parts(path: Path, version: int, manifest: StepPartsManifest, merge_steps: MergeSteps) -> MigratedFile:
    bundle = Bundle(path.parent, manifest)
    bundle.check_files()  # a part that is missing or altered would be noticed only when the bundle runs
    write_parts = merge_steps(bundle)

    def write(new: Path) -> None:
        _write_text(new, write_parts().model_dump_json(indent=1))

    detail = f"{len(manifest.head_parts)} parts -> {', '.join(manifest.step_parts)}"
    return MigratedFile(path, "bundle", version, BUNDLE_VERSION, detail, write)


def _remove_replaced_files(bundle: Path) -> None:
    """Remove the files of the parts that were replaced, except through a link that leads out of the bundle."""
    for name in open_bundle(bundle).manifest.replaced_files():
        path = inside(bundle, name)
        try:
            # On a read-only file system, it is an error to remove a missing file as well.
            if path is not None and path.exists():
                path.unlink()
        except OSError as error:
            raise disk_error(bundle / name, error) from None


def _run_folder(run: Path) -> Iterator[MigratedFile]:
    """Yield the files of a run, starting with the record, so that it is renamed last."""
    if is_run(run):
        yield _record(run)
    if has_predictions(run):
        yield from _predictions(run)
    if (run / TRACE).is_file():
        yield _trace(run / TRACE)


def _record(run: Path) -> MigratedFile:
    content, path = read_content(run), run / RUN_FILE
    version = content.get("schema_version")
    if version == RUN_VERSION:
        return MigratedFile(path, "run", RUN_VERSION, RUN_VERSION)
    if version != OLDEST_RUN:
        raise version_error(run, content)
    if content.get("complete") is not True:
        raise RunError(
            f"{run} is an unfinished run with schema version {version}, which cannot be migrated",
            "finish it with the vbench version that started it, or start a new run",
        )
    write = partial(_write_text, text=json.dumps(migrate_record(run, content), indent=1))
    return MigratedFile(path, "run", version, RUN_VERSION, write=write)


def _predictions(run: Path) -> Iterator[MigratedFile]:
    """Yield the table of predictions if it has columns from an older version."""
    table = read_any_predictions(run)
    renamed = {name: RENAMED_COLUMNS[name] for name in table.columns if name in RENAMED_COLUMNS}
    if renamed:
        write = partial(write_table, table=table.rename(renamed))
        yield MigratedFile(run / PREDICTIONS, "predictions", OLDEST_RUN, RUN_VERSION, write=write)


def _trace(path: Path) -> MigratedFile:
    content = read_header_content(path)
    version = content["schema_version"]
    if version != OLDEST_TRACE:
        parse_header(path, content)
        return MigratedFile(path, "trace", TRACE_VERSION, TRACE_VERSION)
    header = migrate_header(path, content)

    def write(new: Path) -> None:
        write_trace_table(new, read_trace_table(path), header)

    return MigratedFile(path, "trace", version, TRACE_VERSION, write=write)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
