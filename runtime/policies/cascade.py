"""Frame-count policies: a single frame count, or a cascade of counts that stops once the prediction is confident.

These policies choose steps by frame count, in a network that has one part for each frame count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from ...errors import UsageError
from .base import Candidate, Decision, Evidence, Grid, Policy, StepExplanation, SweepTrace, require_fraction
from .explain_text import explain_above
from .grid import quantiles

DEFAULT_CONFIDENCE = 0.9
_MAX_CHAIN = 5  # largest number of frame counts for which all cascades are tried


class _FrameCounts(Policy):
    """A policy that chooses its steps by frame count."""

    selects_steps: ClassVar[bool] = True
    not_servable: ClassVar[str] = ""

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002
        return False

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        for count in self.frame_counts:
            if count not in frames:
                raise UsageError(
                    f"this bundle has no part for {count} frames, only for {', '.join(map(str, frames))}",
                    f"choose one of them, or export with --frames {count}",
                )
        return tuple(frames.index(count) + 1 for count in self.frame_counts)


@dataclass(frozen=True)
class FrameCount(_FrameCounts):
    """Runs a clip at one frame count and makes no decisions."""

    kind: ClassVar[str] = "frames"

    frames: int

    @property
    def frame_counts(self) -> tuple[int, ...]:
        return (self.frames,)

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        return False

    def exits(self, evidence: Evidence) -> Decision:  # noqa: ARG002 - never called: the only step is the last
        return False

    def label(self) -> str:
        return f"{self.frames} frames"

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"fixed": _each_count}


@dataclass(frozen=True)
class Cascade(_FrameCounts):
    """Runs a clip at each frame count in ``counts``, in ascending order, until the prediction is confident.

    A step ends the clip if its softmax confidence is strictly above ``threshold``; the last step always does.
    """

    kind: ClassVar[str] = "cascade"

    counts: tuple[int, ...]
    threshold: float = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if not self.counts or list(self.counts) != sorted(set(self.counts)):
            raise UsageError(
                f"frame counts {list(self.counts)} are not ascending", "list distinct counts in ascending order"
            )
        require_fraction("confidence", self.threshold)

    @property
    def frame_counts(self) -> tuple[int, ...]:
        return self.counts

    def needs_logits(self, step: int) -> bool:
        return step < len(self.counts)

    def exits(self, evidence: Evidence) -> Decision:
        """Return whether the confidence is above the threshold; an equal value or a NaN does not exit."""
        return False if evidence.confidence is None else evidence.confidence > self.threshold

    def threshold_at(self, step: int) -> float:  # noqa: ARG002
        return self.threshold

    def label(self) -> str:
        return f"cascade {', '.join(map(str, self.counts))} above {self.threshold}"

    def explain(self, evidence: Evidence) -> StepExplanation:
        return explain_above("confidence", evidence.confidence, self.threshold, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"cascade": _cascades}


def frame_count_policy(counts: Sequence[int], threshold: float | None = None) -> FrameCount | Cascade:
    """Return the policy for one frame count, or the cascade of several with a confidence ``threshold``.

    Raises:
        UsageError: the counts are not ascending, or the threshold is missing for several counts or not in [0, 1].
    """
    if threshold is None and len(counts) > 1:
        raise UsageError(
            f"choosing between the frame counts {list(counts)} requires a confidence threshold",
            "choose one count, or set a confidence for the cascade",
        )
    cascade = Cascade(tuple(counts), DEFAULT_CONFIDENCE if threshold is None else threshold)
    return FrameCount(counts[0]) if len(counts) == 1 else cascade


def largest_within(times_ms: Mapping[int, float], budget_ms: float, measured: str = "") -> int:
    """Return the largest count whose latency is within the budget; the error message says how it was ``measured``.

    Raises:
        UsageError: no frame count is within the budget.
    """
    fitting = [count for count, time_ms in times_ms.items() if time_ms <= budget_ms]
    if not fitting:
        count, time_ms = min(times_ms.items(), key=lambda item: item[1])
        raise UsageError(
            f"no frame count fits {budget_ms:g} ms: the fastest, {count} frames, takes {time_ms:.1f} ms here"
            + (f" ({measured})" if measured else ""),
            "allow more time, measure again with --remeasure, or export with a smaller --frames",
        )
    return max(fitting)


def _each_count(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - one candidate per count
    return [Candidate("fixed", FrameCount(count)) for count in trace.frames]


def _cascades(trace: SweepTrace, points: int) -> list[Candidate]:
    """Return every cascade of frame counts (only consecutive counts if there are many) at every threshold."""
    counts = trace.frames
    chains = [chain for length in range(2, len(counts) + 1) for chain in combinations(counts, length)]
    if len(counts) > _MAX_CHAIN:
        chains = [counts[i:j] for i in range(len(counts)) for j in range(i + 2, len(counts) + 1)]
    values = quantiles(trace.confidences[:-1], max(points // max(len(chains), 1), 1)) if chains else []
    return [Candidate("cascade", Cascade(chain, value)) for chain in chains for value in values]
