"""``auto``: choose the fastest engine, precision and number of replicas for a bundle on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .audits import record_audit as record_audit
    from .choose import EngineChoice as EngineChoice
    from .choose import choose_engine as choose_engine
    from .replicas import ReplicaChoice as ReplicaChoice
    from .replicas import check_replicas as check_replicas
    from .replicas import choose_replicas as choose_replicas
    from .replicas import load_replicas as load_replicas

__getattr__ = lazy_exports(
    __name__,
    audits=("record_audit",),
    choose=(
        "EngineChoice",
        "choose_engine",
    ),
    replicas=(
        "ReplicaChoice",
        "check_replicas",
        "choose_replicas",
        "load_replicas",
    ),
)
