"""Exit rules for comparison with the authors' gates.

`RunAll`, `Confidence`, `Entropy` and `Patience` run a classifier at every step. `Fixed`, `Random` and `PerVideo` use no
evidence; they show how well a fixed number of frames, a random choice or a choice made in advance would do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from hashlib import blake2b
from typing import ClassVar

import numpy as np

from ...errors import UsageError
from .base import Candidate, Decision, Evidence, Grid, Policy, StepExplanation, SweepTrace, require_fraction
from .explain_text import explain_above, explain_below
from .gates import FrameExitPolicy
from .grid import FEW_POINTS, quantiles

_SUM_TOLERANCE = 1e-6  # shares are rounded decimals
_NEEDS_NAMES = "depends on the video's name, which a server does not receive"


class _NoInputs(Policy):
    """A policy that uses neither gates nor logits and applies to every network."""

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        return False

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002
        return False


class _UsesLogits(_NoInputs):
    """A policy that uses the logits of every step."""

    not_servable: ClassVar[str] = ""

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True)
class RunAll(_UsesLogits):
    """Runs every gate of every set and every classifier, and never exits, so that a trace can be recorded."""

    kind: ClassVar[str] = "everything"
    records_gate_sets: ClassVar[bool] = True

    def needs_gate(self, step: int) -> bool:
        return step > 1

    def exits(self, evidence: Evidence) -> Decision:  # noqa: ARG002
        return False


@dataclass(frozen=True)
class RecordStates(RunAll):
    """Runs everything, like `RunAll`, and keeps the state after each step, for fitting gates."""

    kind: ClassVar[str] = "states"
    not_servable: ClassVar[str] = "records features, which a server does not store"
    records_states: ClassVar[bool] = True


@dataclass(frozen=True)
class Confidence(_UsesLogits):
    """Exits as soon as the top-class probability is strictly above ``threshold``."""

    kind: ClassVar[str] = "confidence"

    threshold: float

    def __post_init__(self) -> None:
        require_fraction("confidence", self.threshold)

    def exits(self, evidence: Evidence) -> Decision:
        """Return whether the confidence is above the threshold; an equal value or a NaN does not exit."""
        return False if evidence.confidence is None else evidence.confidence > self.threshold

    def threshold_at(self, step: int) -> float:  # noqa: ARG002
        return self.threshold

    def explain(self, evidence: Evidence) -> StepExplanation:
        return explain_above("confidence", evidence.confidence, self.threshold, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"confidence": _confidence}


@dataclass(frozen=True)
class Entropy(_UsesLogits):
    """Exits as soon as the normalized entropy (0 = certain, 1 = uniform) is strictly below ``threshold``."""

    kind: ClassVar[str] = "entropy"

    threshold: float

    def __post_init__(self) -> None:
        require_fraction("entropy", self.threshold)

    def exits(self, evidence: Evidence) -> Decision:
        """Return whether the entropy is below the threshold; an equal value or a NaN does not exit."""
        return False if evidence.entropy is None else evidence.entropy < self.threshold

    def explain(self, evidence: Evidence) -> StepExplanation:
        return explain_below("entropy", evidence.entropy, self.threshold, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"entropy": _entropy}


@dataclass(frozen=True)
class Patience(_UsesLogits):
    """Exits as soon as the same class has been predicted ``times`` times in a row (PABEE, Zhou et al. 2020)."""

    kind: ClassVar[str] = "patience"

    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UsageError(f"patience must be 1 or more, got {self.times}", "choose 1 or more")

    def exits(self, evidence: Evidence) -> Decision:
        last = evidence.labels[-self.times :]
        if len(last) < self.times:
            return False
        return reduce(np.logical_and, (label == last[-1] for label in last))

    def explain(self, evidence: Evidence) -> StepExplanation:
        last = list(evidence.labels[::-1])
        in_a_row = next((count for count, label in enumerate(last) if label != last[0]), len(last))
        return StepExplanation(bool(self.exits(evidence)), f"same answer {in_a_row} of {self.times}")

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"patience": _patience}


@dataclass(frozen=True)
class Fixed(_NoInputs):
    """Exits after ``steps`` steps, regardless of the evidence."""

    kind: ClassVar[str] = "fixed"
    not_servable: ClassVar[str] = ""

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps must be 1 or more, got {self.steps}", "choose 1 or more")

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        if self.steps > len(frames):
            raise UsageError(
                f"fixed exits at step {self.steps}, but the network has {len(frames)} steps",
                f"choose a step from 1 to {len(frames)}",
            )
        return super().route(frames)

    def exits(self, evidence: Evidence) -> Decision:
        return evidence.step >= self.steps

    def explain(self, evidence: Evidence) -> StepExplanation:
        return StepExplanation(bool(self.exits(evidence)), f"step {evidence.step} of {self.steps}")

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"fixed": _fixed}


@dataclass(frozen=True)
class Random(_NoInputs):
    """Exits at a step drawn at random for each video; step t has probability ``shares[t - 1]``.

    The draw depends only on the video's name and the seed, so it is the same in every run and replay, in any order.
    """

    kind: ClassVar[str] = "random"
    not_servable: ClassVar[str] = _NEEDS_NAMES

    shares: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        for share in self.shares:
            require_fraction("share", share)
        if abs(sum(self.shares) - 1) > _SUM_TOLERANCE:
            raise UsageError(f"shares must sum to 1, got {sum(self.shares):g}", "pass shares that sum to 1")

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        if len(self.shares) != len(frames):
            raise UsageError(
                f"got {len(self.shares)} shares for a network with {len(frames)} steps", "pass one share for each step"
            )
        return super().route(frames)

    def exits(self, evidence: Evidence) -> Decision:
        """Return whether the video's random number is below the sum of the shares up to this step."""
        bound = self._cumulative_share(evidence.step)
        if isinstance(evidence.video, str):
            return draw(self.seed, evidence.video) < bound
        return np.array([draw(self.seed, video) for video in evidence.video]) < bound

    def explain(self, evidence: Evidence) -> StepExplanation:
        drawn, bound = draw(self.seed, str(evidence.video)), self._cumulative_share(evidence.step)
        return explain_below("draw", drawn, bound, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of random policies that cost the same as the authors' gates at each threshold."""
        return {"random": _chance}

    def _cumulative_share(self, step: int) -> float:
        return sum(self.shares[:step])


@dataclass(frozen=True)
class PerVideo(_NoInputs):
    """Exits at a step chosen in advance for each video name, as the oracle does; unlisted videos run all steps."""

    kind: ClassVar[str] = "planned"
    not_servable: ClassVar[str] = _NEEDS_NAMES

    steps: Mapping[str, int]

    def exits(self, evidence: Evidence) -> Decision:
        if isinstance(evidence.video, str):
            return evidence.step >= self._step(evidence.video, evidence.step)
        return np.array([evidence.step >= self._step(video, evidence.step) for video in evidence.video])

    def explain(self, evidence: Evidence) -> StepExplanation:
        planned = self.steps.get(str(evidence.video))
        text = "no step planned" if planned is None else f"step {evidence.step}, planned {planned}"
        return StepExplanation(bool(self.exits(evidence)), text)

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return the oracle, whose accuracy is an upper bound for any policy."""
        return {"oracle": _oracle}

    def _step(self, video: str, current: int) -> int:
        return self.steps.get(video, current + 1)


@lru_cache(maxsize=1 << 17)
def draw(seed: int, video: str) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the seed and the name."""
    digest = blake2b(f"{seed}:{video}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2.0**48


def _confidence(trace: SweepTrace, points: int) -> list[Candidate]:
    return [Candidate("confidence", Confidence(value)) for value in quantiles(trace.confidences[:-1], points)]


def _entropy(trace: SweepTrace, points: int) -> list[Candidate]:
    return [Candidate("entropy", Entropy(value)) for value in quantiles(trace.entropies[:-1], points)]


def _patience(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - one candidate per step
    return [Candidate("patience", Patience(times)) for times in range(1, trace.steps + 1)]


def _fixed(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001
    return [Candidate("fixed", Fixed(steps)) for steps in range(1, trace.steps + 1)]


def _chance(trace: SweepTrace, points: int) -> list[Candidate]:
    """Return random policies with the same exit shares as the authors' gates: same cost, but no evidence used."""
    candidates: list[Candidate] = []
    default = trace.default_policy
    if not isinstance(default, FrameExitPolicy):
        return candidates
    for gate in quantiles(trace.gate_values(default.gate_set)[1:-1], min(FEW_POINTS, points)):
        exits = trace.tally(replace(default, gate_thresholds=(gate,))).exits
        candidates.append(Candidate("random", Random(tuple((exits / exits.sum()).tolist())), baseline=True))
    return candidates


def _oracle(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - one candidate
    """Return the policy that exits at the earliest correct step, or at step 1 if no step is correct."""
    earliest = np.where(trace.hits.any(axis=0), trace.hits.argmax(axis=0), 0) + 1
    planned = PerVideo(dict(zip(trace.videos, earliest.tolist())))
    return [Candidate("oracle", planned, searched=True, runnable=False)]
