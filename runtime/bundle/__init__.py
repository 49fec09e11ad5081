"""Bundles: opening them, and the schema of their manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .bundle import Bundle as Bundle
    from .bundle import only_bundle as only_bundle
    from .bundle import open_bundle as open_bundle
    from .manifest import FlexibleManifest as FlexibleManifest
    from .manifest import FrameExitManifest as FrameExitManifest
    from .manifest import Manifest as Manifest
    from .manifest import PartSpec as PartSpec

__getattr__ = lazy_exports(
    __name__,
    bundle=(
        "Bundle",
        "only_bundle",
        "open_bundle",
    ),
    manifest=(
        "FlexibleManifest",
        "FrameExitManifest",
        "Manifest",
        "PartSpec",
    ),
)
