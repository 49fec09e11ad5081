"""Convert manifests from older schema versions, for ``vbench migrate``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BundleError
from .bundle import EXPORT_AGAIN, Bundle, manifest_class, read_content, validate
from .manifest import OLDEST_MIGRATED, FrameExitManifest, Manifest
from .step_parts import StepPartsManifest

# In schema 3, each of these architectures was a separate family.
_FRAME_COUNT_ARCHITECTURES = ("tsm", "tea", "slowfast", "uniformer")
_FIRST_THRESHOLD_OF_SCHEMA_3 = 0.95  # recorded by every export that did not set one


MergeSteps = Callable[[Bundle[StepPartsManifest]], Callable[[], FrameExitManifest]]
"""Reads the parts for single steps; the returned function writes the parts for all steps, and returns the manifest."""


class MigratedManifest(NamedTuple):
    """The schema version of a file, and its contents converted to a manifest of the current version.

    If the bundle has a part per step, the manifest is a `StepPartsManifest`, and the parts remain to be converted.
    """

    version: int
    manifest: Manifest


def migrate_manifest(path: Path) -> MigratedManifest:
    """Read the manifest at ``path`` and convert it to the current schema version.

    Raises:
        BundleError: the file is damaged, or its version cannot be converted.
    """
    content = read_content(path)
    if content.get("schema_version") != OLDEST_MIGRATED:
        manifest = _manifest(path, content)
        return MigratedManifest(manifest.schema_version, manifest)
    try:
        converted = _to_schema_4(content)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({error!r})", EXPORT_AGAIN) from None
    return MigratedManifest(OLDEST_MIGRATED, _manifest(path, converted))


def _manifest(path: Path, content: dict[str, Any]) -> Manifest:
    kind = manifest_class(path, content)
    return validate(StepPartsManifest if kind.outdated(content) else kind, path, content)


def migrate_family(family: str) -> str:
    """Convert the name of a schema 3 network family to its current name."""
    return "frame_counts" if family in _FRAME_COUNT_ARCHITECTURES else family


def _to_schema_4(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add the architecture, and drop the first threshold if it equals the old default."""
    family = content["family"]
    converted = {**content, "schema_version": 4, "family": migrate_family(family), "architecture": family}
    if "policy" in content:
        policy = dict(content["policy"])
        if policy["first_threshold"] == _FIRST_THRESHOLD_OF_SCHEMA_3:
            policy["first_threshold"] = None
        converted["policy"] = policy
    return converted
