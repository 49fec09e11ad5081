"""The user's choices about the exit policy, before the network's family resolves them to a `Policy`.

The choices are declared only here; ``run``, ``explain``, ``audit`` and ``package`` derive their options from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...option_fields import declared_options, flag_of, option

if TYPE_CHECKING:
    from .base import Policy


def _read(file: str) -> Policy:
    from .registry import read_policy

    return read_policy(Path(file))


@dataclass(frozen=True)
class PolicyChoice:
    """Choices about the exit policy; None leaves a choice to the network's family.

    ``gate_thresholds`` has one value for all gates or one per gate; ``gates`` is the name of a gate set; ``frames`` is
    the frame count to run at, or the counts of a cascade; ``policy`` is a complete policy and replaces all other
    choices.
    """

    first_threshold: float | None = option(
        "FrameExit: confidence above which step 1 exits.", default=None, show_default="the data set's or the bundle's"
    )
    gate_thresholds: tuple[float, ...] | None = option(
        "FrameExit: gate value above which a later step exits; one for all gates, or one per gate, joined by commas.",
        default=None,
        show_default="the bundle's",
        flags=("--gate-threshold",),
    )
    gates: str | None = option(
        "FrameExit with several gate sets (vbench fit-gates): the set to use, such as beta_1e-03.",
        default=None,
        show_default="the bundle's default set",
    )
    frames: tuple[int, ...] | None = option(
        "Frame-flexible networks: the frame count to run at, or the counts of a cascade, joined by commas.",
        default=None,
        show_default="the largest; all for a cascade",
    )
    cascade: float | None = option(
        "Frame-flexible networks: try the frame counts in ascending order until the confidence is above this value.",
        default=None,
        show_default="none",
    )
    budget_ms: float | None = option(
        "Frame-flexible networks: run at the largest frame count that takes at most this time (ms) on this machine.",
        default=None,
        show_default="none",
    )
    remeasure: bool | None = option(
        "With --budget-ms: measure latencies again, even if they are already known.",
        default=None,
        show_default="only if unknown or implausible",
        flags=("--remeasure",),
    )
    policy: Policy | None = option(
        "Policy file, as written by vbench tune.",
        default=None,
        show_default="none",
        parse=_read,
        metavar="FILE",
    )

    def explicit_names(self) -> tuple[str, ...]:
        """Return the names of the choices that were made: a complete policy first, because it replaces the others."""
        names = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        return tuple(sorted(names, key=lambda name: name != "policy"))

    def require_only(self, who: str, *allowed: str, hint: str = "omit it") -> None:
        """Raise UsageError if any choice not in ``allowed`` was made; ``who`` is the subject of the error message.

        The message names the command-line option and, unless ``who`` is itself an option, the Python argument.
        """
        for name in self.explicit_names():
            if name not in allowed:
                flag = OPTION_FLAGS[name]
                python = "" if who.startswith("--") else f" ({flag[2:].replace('-', '_')}=)"
                raise UsageError(f"{who} takes no {flag}{python}", hint)

    def record(self) -> dict[str, Any]:
        """Return all choices as JSON, except ``remeasure``, which does not affect a resumed run; see `from_record`."""
        choices: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        del choices["remeasure"]
        return {**choices, "policy": None if self.policy is None else self.policy.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> PolicyChoice:
        """Return the choices stored in a record; error messages start with its location, ``where``.

        Raises:
            UsageError: the record's policy is invalid.
            TypeError: the record has unknown fields.
        """
        from .registry import policy_of

        lists = {name: record[name] and tuple(record[name]) for name in ("gate_thresholds", "frames")}
        policy = record["policy"]
        return cls(**{**record, **lists, "policy": None if policy is None else policy_of(policy, where)})


OPTION_FLAGS = {each.name: flag_of(each.name, info) for each, info in declared_options(PolicyChoice)}
