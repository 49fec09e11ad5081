"""Registry of network families; for the interface of a family, see `networks.family.Family`.

The registry is separate from the families so that opening a bundle and validating its manifest imports only that
bundle's family. An installed package adds a family through an entry point in the group ``vbench.families``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..registry import Registry

if TYPE_CHECKING:
    from .bundle.manifest import Manifest
    from .networks.family import Family

FAMILIES: Registry[Family[Any]] = Registry(
    "network family",
    {"frameexit": ".networks.frameexit:FAMILY", "frame_counts": ".networks.frame_counts:FAMILY"},
    group="vbench.families",
    package=__package__ or "",
)


def family_of(manifest: Manifest) -> Family[Any]:
    """Return the family of a bundle."""
    return FAMILIES.get(manifest.family)
