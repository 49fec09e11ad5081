"""Exit policies, which decide when a clip ends, with everything specific to each policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .base import Evidence as Evidence
    from .base import Policy as Policy
    from .cascade import Cascade as Cascade
    from .cascade import FrameCount as FrameCount
    from .choice import PolicyChoice as PolicyChoice
    from .gates import FrameExitPolicy as FrameExitPolicy
    from .registry import POLICIES as POLICIES
    from .registry import policy_of as policy_of
    from .registry import read_policy as read_policy
    from .registry import write_policy as write_policy

__getattr__ = lazy_exports(
    __name__,
    base=(
        "Evidence",
        "Policy",
    ),
    cascade=(
        "Cascade",
        "FrameCount",
    ),
    choice=("PolicyChoice",),
    gates=("FrameExitPolicy",),
    registry=(
        "POLICIES",
        "policy_of",
        "read_policy",
        "write_policy",
    ),
)
