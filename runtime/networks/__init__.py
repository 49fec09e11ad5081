"""Networks, which run a bundle on an engine with an exit policy, and the network families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .base import Network as Network
    from .family import Family as Family

__getattr__ = lazy_exports(
    __name__,
    base=("Network",),
    family=("Family",),
)
