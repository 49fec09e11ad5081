"""How many frames to look at: one count, or several in turn until the answer is sure enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from .base import Decision, Evidence, fraction


@dataclass(frozen=True)
class Cascade:
    """Runs a clip at the first of ``counts`` frames, and goes on to the next while the answer is uncertain.

    A step ends the clip if its softmax confidence is strictly above ``threshold``; the last always does. With a single
    count there is nothing to decide. It is an exit policy (see ``policy.py``) whose steps are the counts.
    """

    counts: tuple[int, ...]
    threshold: float = 0.9

    def __post_init__(self) -> None:
        if not self.counts or list(self.counts) != sorted(set(self.counts)):
            raise UsageError(
                f"frame counts {list(self.counts)} are not ascending", "give each once, the smallest first"
            )
        fraction("confidence", self.threshold)

    def needs_logits(self, step: int) -> bool:
        """Every step but the last looks at the softmax."""
        return step < len(self.counts)

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002 - these networks have none
        """There are no gates."""
        return False

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly, so that a value equal to the threshold, or a NaN, goes on."""
        return False if evidence.confidence is None else evidence.confidence > self.threshold

    def check_steps(self, steps: int) -> None:
        """See `Policy.check_steps`: its steps are the network's, see `check_counts`."""

    def check_counts(self, known: Sequence[int]) -> None:
        """Raise UsageError if there is a count that a bundle with parts for ``known`` cannot run."""
        for count in self.counts:
            if count not in known:
                raise UsageError(
                    f"no part for {count} frames in this bundle, it has {', '.join(map(str, known))}",
                    f"choose one of them, or export with --frames {count}",
                )

    def record(self) -> dict[str, Any]:
        """Return what the record of a run says of it."""
        if len(self.counts) == 1:
            return {"kind": "frames", "frames": self.counts[0]}
        return {"kind": "cascade", "counts": list(self.counts), "threshold": self.threshold}


def largest_within(times_ms: Mapping[int, float], budget_ms: float) -> int:
    """Return the largest frame count whose time fits the budget.

    Raises:
        UsageError: none does.
    """
    fitting = [count for count, time_ms in times_ms.items() if time_ms <= budget_ms]
    if not fitting:
        count, time_ms = min(times_ms.items(), key=lambda item: item[1])
        raise UsageError(
            f"no frame count fits {budget_ms:g} ms: the quickest, {count} frames, takes {time_ms:.1f} ms here",
            "allow more time, or export with a smaller --frames",
        )
    return max(fitting)
