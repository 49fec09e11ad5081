"""Cache of exported bundles, shared between test processes and test runs.

An export depends on the checkpoint, its options, vbench's source and a few packages; the digest of all of these is the
key of an entry. With a lock per key, one process exports while the others wait. An entry gets its final name only once
it is complete. Callers receive a copy, so they cannot modify the cache. The cache is the folder ``.test_cache`` in the
repository, or ``$VBENCH_TEST_CACHE``; it may be deleted when no tests are running.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from tests.source_imports import ROOT, source_closure
from vbench.export.exporter import Calibration, ExportOptions, export_checkpoint
from vbench.export.family import EXPORTERS
from vbench.files import sha256
from vbench.models.registry import BACKBONES, NETWORKS
from vbench.registry import Registry
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.families import FAMILIES


def _registered(*registries: Registry[Any]) -> tuple[str, ...]:
    """Return the modules of built-in registry members, which are looked up by name rather than imported."""
    places = [(registry, place) for registry in registries for place in registry._builtin.values()]
    return tuple(
        resolve_name(place.partition(":")[0], registry._package) for registry, place in places if isinstance(place, str)
    )


# The engine that verifies an export is also looked up by name.
ENTRIES = (
    "vbench.export.exporter",
    "vbench.runtime.engines.ort.load",
    *_registered(EXPORTERS, NETWORKS, BACKBONES, FAMILIES),
)
PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "numpy")
KEPT = 2  # entries per label, which allows switching between two versions of the source
Export = Callable[..., Bundle[Manifest]]


def cache_folder() -> Path:
    return Path(os.environ.get("VBENCH_TEST_CACHE") or ROOT / ".test_cache").absolute()


def cached_export(
    checkpoint: Path,
    out: Path,
    options: ExportOptions,
    calibration: Calibration | None = None,
    export: Export = export_checkpoint,
) -> Bundle[Manifest]:
    """Export ``checkpoint`` to the new folder ``out`` by calling ``export``, or copy the cached result to ``out``."""
    assert not out.exists()
    label, key = export_key(checkpoint, out, options, calibration, export)

    def make(folder: Path) -> None:
        optional = {} if calibration is None else {"calibration": calibration}
        # Export directly to ``out``, because the manifest holds the relative path from there to the checkpoint.
        shutil.copytree(export(checkpoint, out, options, **optional).path, folder)

    entry = cached(label, key, make)
    if not out.exists():
        shutil.copytree(entry, out)
    return open_bundle(out)


def export_key(
    checkpoint: Path,
    out: Path,
    options: ExportOptions,
    calibration: Calibration | None = None,
    export: Export = export_checkpoint,
) -> tuple[str, str]:
    """Return a label of the request, and the digest of everything that determines the files of the bundle."""
    choices: dict[str, Any] = asdict(options)
    names = choices.pop("class_names")
    request = {
        "checkpoint from bundle": os.path.relpath(checkpoint.resolve(), out.resolve()),
        "options": choices,
        "class names": None if names is None else sha256(names),
        "calibration": None if calibration is None else (calibration.name, _source(calibration.clips)),
        "export": (export.__module__, export.__qualname__, _source(export)),
    }
    environment = {
        "checkpoint": sha256(checkpoint),
        "source": {path.relative_to(ROOT).as_posix(): sha256(path) for path in source_closure(*ENTRIES)},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": platform.machine(),
    }
    label = f"{checkpoint.name.split('.')[0]}-{_digest(request)[:8]}"
    return label, _digest([request, environment])[:32]


def cached(label: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the cached folder of ``key``, calling ``make`` to create it if missing; callers must not modify it.

    Only the newest entries of each ``label`` are kept.
    """
    entry = cache_folder() / f"{label}-{key}"
    with _locked(entry.with_name(f"{entry.name}.lock")):
        if not entry.is_dir():
            with tempfile.TemporaryDirectory(prefix=".incomplete-", dir=entry.parent) as scratch:
                incomplete = Path(scratch, "entry")
                make(incomplete)
                incomplete.rename(entry)
            _remove_old(entry.parent.glob(f"{label}-{'?' * len(key)}"))
        os.utime(entry)
    return entry


def _remove_old(entries: Iterable[Path]) -> None:
    for entry in sorted(entries, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(entry, ignore_errors=True)
        entry.with_name(f"{entry.name}.lock").unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive file lock, which the operating system releases even if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _source(function: Callable[..., Any]) -> str:
    return sha256(Path(inspect.getsourcefile(inspect.unwrap(function)) or ""))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
