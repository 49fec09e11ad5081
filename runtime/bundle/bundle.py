"""Open a bundle: a folder written by ``vbench export`` that runs without torch.

Bundles are verified before use: the manifest must match its schema, every path must be inside the folder, and every
file must match its SHA-256. An incomplete or altered bundle is rejected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from ...errors import BundleError
from ...files import sha256
from ...json_file import first_problem, read_json
from ...paths import inside
from ...startup import phase
from ..families import FAMILIES
from .manifest import OLDEST_MIGRATED, SCHEMA_VERSION, FileSpec, Manifest, Target

MANIFEST = "manifest.json"
EXPORT_AGAIN = "export the checkpoint again with vbench export"
M = TypeVar("M", bound=Manifest, covariant=True)


@dataclass(frozen=True)
class Bundle(Generic[M]):
    """A bundle on disk with a valid manifest; each file is verified once, when its path is first requested."""

    path: Path
    manifest: M
    _verified: set[FileSpec] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, which in turn records the digest of every other file."""
        return sha256(self.path / MANIFEST)

    def part_file(self, part: str, precision: str, target: Target | None = None) -> Path:
        """Verify a part's graph file, in the form for ``target`` if there is one, and return its path.

        Raises:
            BundleError: the precision is unknown, or the file is missing, altered or outside the bundle.
        """
        files = self.manifest.parts[part].files_for(target)
        if precision not in files:
            raise BundleError(
                f"{self.path}: this bundle has no {precision}, only {', '.join(self.manifest.precisions)}",
                f"export with --precision {precision}",
            )
        return self._verified_path(files[precision])

    def weights_file(self, precision: str) -> Path | None:
        """Verify the file of shared tensors and return its path; None if the parts share no tensors.

        Raises:
            BundleError: the file is missing, altered or outside the bundle.
        """
        file = self.manifest.weights.get(precision)
        return None if file is None else self._verified_path(file)

    def check_files(self) -> int:
        """Verify the files for all precisions and return their number, counting shared files only once."""
        files = self.manifest.listed_files()
        for file in sorted(files, key=lambda file: file.path):
            self._verified_path(file)
        return len(files)

    def _verified_path(self, file: FileSpec) -> Path:
        if file in self._verified:
            return self.path / file.path
        path = inside(self.path, file.path)
        if path is None:
            raise BundleError(f"{self.path / MANIFEST}: {file.path} is outside the bundle", EXPORT_AGAIN)
        if not path.is_file():
            raise BundleError(
                f"{path} is missing: the bundle is incomplete", "copy the complete folder, or " + EXPORT_AGAIN
            )
        with phase("digests"):
            intact = path.stat().st_size == file.size_bytes and sha256(path) == file.sha256
        if not intact:
            raise BundleError(f"{path} has been altered since the export (its SHA-256 differs)", EXPORT_AGAIN)
        self._verified.add(file)
        return path


def open_bundle(path: Path) -> Bundle[Manifest]:
    """Open the bundle at ``path``, whose network family determines the manifest's schema.

    Raises:
        BundleError: the bundle is missing or incomplete, or this version cannot read its manifest.
    """
    manifest = path / MANIFEST
    if not path.is_dir():
        raise BundleError(f"there is no bundle at {path}", "create one with vbench export CHECKPOINT")
    if not manifest.is_file():
        raise BundleError(f"{path} has no {MANIFEST}: it is not a bundle, or is incomplete", EXPORT_AGAIN)
    return Bundle(path, parse_manifest(manifest, read_content(manifest)))


def parse_manifest(path: Path, content: dict[str, Any]) -> Manifest:
    """Validate the contents of a manifest.

    Args:
        path: path of the manifest file, used in error messages.

    Raises:
        BundleError: the contents are not a valid manifest of the current schema version, or its parts are outdated.
    """
    kind = manifest_class(path, content)
    if difference := kind.outdated(content):
        raise BundleError(f"{path} is from an older vbench, which {difference}", f"run vbench migrate {path.parent}")
    return validate(kind, path, content)


def manifest_class(path: Path, content: dict[str, Any]) -> type[Manifest]:
    """Return the class for the contents of a manifest of the current schema version.

    Raises:
        BundleError: the schema version is not the current one, or the network family is unknown.
    """
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version}, but this vbench reads only up to {SCHEMA_VERSION}", "update vbench"
        )
    if isinstance(version, int) and version < SCHEMA_VERSION:
        remedy = EXPORT_AGAIN if version < OLDEST_MIGRATED else f"run vbench migrate {path.parent}"
        raise BundleError(f"{path} has schema version {version}, from an older vbench", remedy)
    family = content.get("family")
    if not isinstance(family, str):
        return Manifest  # validation will report the missing field
    if family not in FAMILIES:
        raise BundleError(
            f"{path}: this vbench has no network family {family!r}, only {', '.join(FAMILIES)}",
            "update vbench, or install the package that adds it",
        )
    return FAMILIES.get(family).manifest


def validate(kind: type[M], path: Path, content: dict[str, Any]) -> M:
    """Return the contents of a manifest as an object of a class.

    Raises:
        BundleError: they are invalid.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise BundleError(f"{path}: {place or 'manifest'}: {problem}", EXPORT_AGAIN) from None


def read_content(path: Path) -> dict[str, Any]:
    """Return the contents of a manifest of any schema version.

    Raises:
        BundleError: the file cannot be read as a JSON object.
    """
    return read_json(path, BundleError, EXPORT_AGAIN)


def only_bundle(folder: Path) -> Path:
    """Return the only bundle in ``folder``.

    Raises:
        BundleError: ``folder`` contains no bundle, or several.
    """
    bundles = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))
    if len(bundles) == 1:
        return bundles[0]
    if not bundles:
        raise BundleError(f"there is no bundle in {folder}/", "create one with vbench export CHECKPOINT")
    raise BundleError(
        f"{folder}/ holds {len(bundles)} bundles ({', '.join(path.name for path in bundles)})",
        "specify which one to run",
    )
