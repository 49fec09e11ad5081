"""How many frames to read: one frame count, or several in turn until the prediction is confident enough.

These policies choose their steps: of a network that has one part for every frame count, by the frames that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

from ...errors import UsageError
from .base import Candidate, Decision, Evidence, Grid, Policy, StepExplanation, SweepTrace, require_fraction
from .explain_text import explain_above
from .grid import quantiles

DEFAULT_CONFIDENCE = 0.9
_MAX_CHAIN = 5  # of so many frame counts all cascades are tried


class _FrameCounts(Policy):
    """A policy that runs steps chosen by their frame counts."""

    selects_steps: ClassVar[bool] = True
    not_servable: ClassVar[str] = ""

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002
        """There are no gates."""
        return False

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return the steps that read the policy's frame counts."""
        for count in self.frame_counts:
            if count not in frames:
                raise UsageError(
                    f"no part for {count} frames in this bundle, it has {', '.join(map(str, frames))}",
                    f"choose one of them, or export with --frames {count}",
                )
        return tuple(frames.index(count) + 1 for count in self.frame_counts)


@dataclass(frozen=True)
class FrameCount(_FrameCounts):
    """Runs a clip at one frame count; there is nothing to decide."""

    kind: ClassVar[str] = "frames"

    frames: int

    @property
    def frame_counts(self) -> tuple[int, ...]:
        """Its frame count."""
        return (self.frames,)

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        """Nothing is decided."""
        return False

    def exits(self, evidence: Evidence) -> Decision:  # noqa: ARG002
        """Never ask: the only step is the last."""
        return False

    def label(self) -> str:
        """Return the frame count."""
        return f"{self.frames} frames"

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of all frame counts."""
        return {"fixed": _each_count}

    def serving(self) -> dict[str, Any]:
        """Return the policy as a cascade of one count, all that the served model knows."""
        return Cascade(self.frame_counts).serving()


@dataclass(frozen=True)
class Cascade(_FrameCounts):
    """Runs a clip at the first of ``counts`` frames, and at the next as long as the prediction is not confident.

    A step ends the clip if its softmax confidence is strictly above ``threshold``; the last always does.
    """

    kind: ClassVar[str] = "cascade"

    counts: tuple[int, ...]
    threshold: float = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if not self.counts or list(self.counts) != sorted(set(self.counts)):
            raise UsageError(
                f"frame counts {list(self.counts)} are not ascending", "give each once, the smallest first"
            )
        require_fraction("confidence", self.threshold)

    @property
    def frame_counts(self) -> tuple[int, ...]:
        """Its frame counts."""
        return self.counts

    def needs_logits(self, step: int) -> bool:
        """Every step but the last looks at the softmax."""
        return step < len(self.counts)

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly, so that a value equal to the threshold, or a NaN, continues."""
        return False if evidence.confidence is None else evidence.confidence > self.threshold

    def threshold_at(self, step: int) -> float:  # noqa: ARG002
        """Return the same threshold for all steps."""
        return self.threshold

    def label(self) -> str:
        """Return the frame counts and the threshold."""
        return f"cascade {', '.join(map(str, self.counts))} above {self.threshold}"

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Show the confidence that was compared with the threshold."""
        return explain_above("confidence", evidence.confidence, self.threshold, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of frame counts in turn and thresholds."""
        return {"cascade": _cascades}


def frame_count_policy(counts: Sequence[int], threshold: float | None = None) -> FrameCount | Cascade:
    """Return the policy that runs at one frame count, or at several in turn until one is above ``threshold``.

    Raises:
        UsageError: the counts are not ascending, several have no threshold, or it is no probability.
    """
    if threshold is None and len(counts) > 1:
        raise UsageError(f"frame counts {list(counts)} without a rule to choose", "give one, or a cascade's confidence")
    cascade = Cascade(tuple(counts), DEFAULT_CONFIDENCE if threshold is None else threshold)
    return FrameCount(counts[0]) if len(counts) == 1 else cascade


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


def _each_count(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - there are as many as counts
    return [Candidate("fixed", FrameCount(count)) for count in trace.frames]


def _cascades(trace: SweepTrace, points: int) -> list[Candidate]:
    """Every chain of frame counts (of many counts, those of neighbours) at every threshold."""
    counts = trace.frames
    chains = [chain for length in range(2, len(counts) + 1) for chain in combinations(counts, length)]
    if len(counts) > _MAX_CHAIN:
        chains = [counts[i:j] for i in range(len(counts)) for j in range(i + 2, len(counts) + 1)]
    values = quantiles(trace.confidences[:-1], max(points // max(len(chains), 1), 1)) if chains else []
    return [Candidate("cascade", Cascade(chain, value)) for chain in chains for value in values]
