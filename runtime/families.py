"""The registry of network families; see `networks.family.Family` for what a family is.

It stands apart from the families so that a bundle can be opened, and its manifest validated, without importing any
family but its own. An installed package adds one by an entry point of the group ``vbench.families``.
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
