"""The networks, under their authors' parameter names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .network import Network as Network
    from .registry import BACKBONES as BACKBONES
    from .registry import NETWORKS as NETWORKS

__getattr__ = lazy_exports(
    __name__,
    network=("Network",),
    registry=(
        "BACKBONES",
        "NETWORKS",
    ),
)
