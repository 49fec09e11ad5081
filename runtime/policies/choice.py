"""What a user chose about the exit policy, before a network resolves it to a `Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import UsageError
from .base import Policy


@dataclass(frozen=True)
class PolicyChoice:
    """Choices about where clips end; None leaves a choice to the network's family.

    Attributes:
        first_threshold: FrameExit: confidence above which step 1 exits.
        gate_thresholds: FrameExit: gate value above which a later step exits, one for all gates or one each.
        frames: frame-flexible networks: the frame count to run at, or those of a cascade.
        cascade: frame-flexible networks: confidence above which a cascade ends.
        budget_ms: frame-flexible networks: run at the largest frame count that answers within this time here.
        policy: the policy itself; takes the place of all choices above.
    """

    first_threshold: float | None = None
    gate_thresholds: tuple[float, ...] | None = None
    frames: tuple[int, ...] | None = None
    cascade: float | None = None
    budget_ms: float | None = None
    policy: Policy | None = None

    def given(self) -> tuple[str, ...]:
        """Return the names of the choices that were made."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def require_only(self, who: str, *allowed: str, hint: str = "leave it out") -> None:
        """Raise UsageError if a choice other than the ``allowed`` ones was made; ``who`` takes no other."""
        for name in self.given():
            if name not in allowed:
                raise UsageError(f"{who} takes no {OPTION_NAMES[name]}", hint)

    def record(self) -> dict[str, Any]:
        """Return the choices as JSON; see `from_record`."""
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**found, "policy": None if self.policy is None else self.policy.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> PolicyChoice:
        """Return the choices of a record; ``where`` it stands is for the error.

        Raises:
            UsageError: it holds a policy that is none.
            TypeError: it holds other fields.
        """
        from .registry import policy_of

        lists = {name: record[name] and tuple(record[name]) for name in ("gate_thresholds", "frames")}
        policy = record["policy"]
        return cls(**{**record, **lists, "policy": None if policy is None else policy_of(policy, where)})


OPTION_NAMES = {
    "first_threshold": "--first-threshold (first_threshold=)",
    "gate_thresholds": "--gate-threshold (gate_threshold=)",
    "frames": "--frames (frames=)",
    "cascade": "--cascade (cascade=)",
    "budget_ms": "--budget-ms (budget_ms=)",
    "policy": "--policy (policy=)",
}
