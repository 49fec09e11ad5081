"""Policies of the clips in one stream: requests with different thresholds share its batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from ....runtime.policies.base import Decision, Evidence, Policy


class ClipWithPolicy(Protocol):
    """A clip in a stream: its policy, and whether its result is no longer needed."""

    policy: Policy

    @property
    def abandoned(self) -> bool:
        """Whether to end the clip at the next decision, because nobody waits for its result."""
        ...


class ClipPolicies(Policy):
    """Lets each clip exit by its own policy; all of them require the same parts, see `stream_key`.

    The runtime passes the name of a clip to its policy; ``clip_named`` finds the clip.
    """

    kind: ClassVar[str] = "clips"

    def __init__(self, alike: Policy, clip_named: Callable[[str], ClipWithPolicy]) -> None:
        """Take everything except the decisions from ``alike``, any of the policies."""
        self._alike, self._clip_named = alike, clip_named

    def needs_logits(self, step: int) -> bool:
        return self._alike.needs_logits(step)

    def needs_gate(self, step: int) -> bool:
        return self._alike.needs_gate(step)

    def exits(self, evidence: Evidence) -> Decision:
        clip = self._clip_named(str(evidence.video))
        return True if clip.abandoned else clip.policy.exits(evidence)

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        return self._alike.route(frames)

    @property
    def frame_counts(self) -> tuple[int, ...]:
        return self._alike.frame_counts

    @property
    def gate_set(self) -> str | None:
        return self._alike.gate_set


def stream_key(policy: Policy, route: Sequence[int]) -> tuple[object, ...]:
    """Return a key that is equal for policies that may share a stream: same steps, same parts at each step."""
    needs = tuple((policy.needs_logits(step), policy.needs_gate(step)) for step in range(1, len(route)))
    return (tuple(route), policy.gate_set, needs)
