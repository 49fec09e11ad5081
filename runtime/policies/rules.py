"""Exit rules in addition to the authors' gates, to compare them with.

All but `Fixed` and `Random` cost a classifier at every step. `Fixed`, `Random` and `PerVideo` look at nothing: they
show what a number of frames is worth, what any choice would reach by chance, and what one made beforehand reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from hashlib import blake2b
from typing import ClassVar

import numpy as np

from ...errors import UsageError
from .base import Candidate, Decision, Evidence, Grid, Policy, StepExplanation, SweepTrace, require_fraction
from .explain_text import explain_above, explain_below
from .gates import FrameExitPolicy
from .grid import FEW_POINTS, quantiles

_WHOLE = 1e-6  # shares come as decimals
_NEEDS_NAMES = "decides by the video's name, which a server is not told"


class _NoInputs(Policy):
    """A policy that looks at nothing and fits every network."""

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        """No classifier is needed."""
        return False

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002
        """No gate is needed."""
        return False


class _UsesLogits(_NoInputs):
    """A policy that looks at the logits of every step."""

    not_servable: ClassVar[str] = ""

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        """Every step needs its classifier."""
        return True


@dataclass(frozen=True)
class RunAll(_UsesLogits):
    """Never exits and computes all that there is: what a trace is recorded with."""

    kind: ClassVar[str] = "everything"

    def needs_gate(self, step: int) -> bool:
        """Every gate runs."""
        return step > 1

    def exits(self, evidence: Evidence) -> Decision:  # noqa: ARG002
        """Continue to the end."""
        return False


@dataclass(frozen=True)
class Confidence(_UsesLogits):
    """Exits as soon as the top softmax probability is strictly above ``threshold``."""

    kind: ClassVar[str] = "confidence"

    threshold: float

    def __post_init__(self) -> None:
        require_fraction("confidence", self.threshold)

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly; a NaN continues."""
        return False if evidence.confidence is None else evidence.confidence > self.threshold

    def threshold_at(self, step: int) -> float:  # noqa: ARG002
        """Return the same threshold for all steps."""
        return self.threshold

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Show the confidence that was compared with the threshold."""
        return explain_above("confidence", evidence.confidence, self.threshold, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of thresholds."""
        return {"confidence": _confidence}


@dataclass(frozen=True)
class Entropy(_UsesLogits):
    """Exits as soon as the entropy of the softmax (0 = certain, 1 = uniform) is strictly below ``threshold``."""

    kind: ClassVar[str] = "entropy"

    threshold: float

    def __post_init__(self) -> None:
        require_fraction("entropy", self.threshold)

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly; a NaN continues."""
        return False if evidence.entropy is None else evidence.entropy < self.threshold

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Show the entropy that was compared with the threshold."""
        return explain_below("entropy", evidence.entropy, self.threshold, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of thresholds."""
        return {"entropy": _entropy}


@dataclass(frozen=True)
class Patience(_UsesLogits):
    """Exits as soon as the answer has been the same ``times`` times in a row (PABEE, Zhou et al. 2020)."""

    kind: ClassVar[str] = "patience"

    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UsageError(f"patience of {self.times} answers", "give 1 or more")

    def exits(self, evidence: Evidence) -> Decision:
        """Compare the last answers with one another."""
        last = evidence.labels[-self.times :]
        if len(last) < self.times:
            return False
        return reduce(np.logical_and, (label == last[-1] for label in last))

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Count how often the last answer has come without a break."""
        last = list(evidence.labels[::-1])
        in_a_row = next((count for count, label in enumerate(last) if label != last[0]), len(last))
        return StepExplanation(bool(self.exits(evidence)), f"same answer {in_a_row} of {self.times}")

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of all patiences."""
        return {"patience": _patience}


@dataclass(frozen=True)
class Fixed(_NoInputs):
    """Exits after ``steps`` steps, whatever they show."""

    kind: ClassVar[str] = "fixed"
    not_servable: ClassVar[str] = ""

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"{self.steps} steps are none", "give 1 or more")

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return all steps; there have to be as many as it takes."""
        if self.steps > len(frames):
            raise UsageError(f"fixed at {self.steps} steps, the network has {len(frames)}", f"give 1 to {len(frames)}")
        return super().route(frames)

    def exits(self, evidence: Evidence) -> Decision:
        """Count."""
        return evidence.step >= self.steps

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Show the count."""
        return StepExplanation(bool(self.exits(evidence)), f"step {evidence.step} of {self.steps}")

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid of all numbers of steps."""
        return {"fixed": _fixed}


@dataclass(frozen=True)
class Random(_NoInputs):
    """Exits at a step drawn for each video: at step t with probability ``shares[t - 1]``.

    The draw depends on the video's name and the seed only, so that it is the same in every order, run and replay.
    """

    kind: ClassVar[str] = "random"
    not_servable: ClassVar[str] = _NEEDS_NAMES

    shares: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        for share in self.shares:
            require_fraction("share", share)
        if abs(sum(self.shares) - 1) > _WHOLE:
            raise UsageError(f"shares of {sum(self.shares):g} in all", "give one for each step, 1 together")

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return all steps; there has to be a share for each."""
        if len(self.shares) != len(frames):
            raise UsageError(
                f"{len(self.shares)} shares, the network has {len(frames)} steps", "give one for each step"
            )
        return super().route(frames)

    def exits(self, evidence: Evidence) -> Decision:
        """Compare the video's draw with the share of all that leave up to this step."""
        bound = self._leaving(evidence.step)
        if isinstance(evidence.video, str):
            return draw(self.seed, evidence.video) < bound
        return np.array([draw(self.seed, video) for video in evidence.video]) < bound

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Show the draw and the share that it was compared with."""
        drawn, bound = draw(self.seed, str(evidence.video)), self._leaving(evidence.step)
        return explain_below("draw", drawn, bound, ends=bool(self.exits(evidence)))

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return a grid that costs what the authors' gates cost."""
        return {"random": _chance}

    def _leaving(self, step: int) -> float:
        return sum(self.shares[:step])


@dataclass(frozen=True)
class PerVideo(_NoInputs):
    """Exits at a step chosen for each video beforehand, by its name, as the oracle does; others run to the end."""

    kind: ClassVar[str] = "planned"
    not_servable: ClassVar[str] = _NEEDS_NAMES

    steps: Mapping[str, int]

    def exits(self, evidence: Evidence) -> Decision:
        """Look the video up."""
        if isinstance(evidence.video, str):
            return evidence.step >= self._step(evidence.video, evidence.step)
        return np.array([evidence.step >= self._step(video, evidence.step) for video in evidence.video])

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Show the step that was chosen."""
        planned = self.steps.get(str(evidence.video))
        text = "no step planned" if planned is None else f"step {evidence.step}, planned {planned}"
        return StepExplanation(bool(self.exits(evidence)), text)

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return the best that any choice could reach."""
        return {"oracle": _oracle}

    def _step(self, video: str, now: int) -> int:
        return self.steps.get(video, now + 1)


@lru_cache(maxsize=1 << 17)
def draw(seed: int, video: str) -> float:
    """Return a number in [0, 1) that depends on seed and name alone."""
    digest = blake2b(f"{seed}:{video}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2.0**48


def _confidence(trace: SweepTrace, points: int) -> list[Candidate]:
    return [Candidate("confidence", Confidence(value)) for value in quantiles(trace.confidences[:-1], points)]


def _entropy(trace: SweepTrace, points: int) -> list[Candidate]:
    return [Candidate("entropy", Entropy(value)) for value in quantiles(trace.entropies[:-1], points)]


def _patience(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - there are as many as steps
    return [Candidate("patience", Patience(times)) for times in range(1, trace.steps + 1)]


def _fixed(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001
    return [Candidate("fixed", Fixed(steps)) for steps in range(1, trace.steps + 1)]


def _chance(trace: SweepTrace, points: int) -> list[Candidate]:
    """As many videos at every step as the authors' gates send there, but any: the same cost by chance."""
    found: list[Candidate] = []
    default = trace.default_policy
    if not isinstance(default, FrameExitPolicy):
        return found
    for gate in quantiles(trace.gates[1:-1], min(FEW_POINTS, points)):
        exits = trace.tally(FrameExitPolicy(default.first_threshold, (gate,))).exits
        found.append(Candidate("random", Random(tuple((exits / exits.sum()).tolist())), baseline=True))
    return found


def _oracle(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001 - there is one
    """Leave at the earliest step with the right answer, and where there is none at once: no rule has more right."""
    earliest = np.where(trace.hits.any(axis=0), trace.hits.argmax(axis=0), 0) + 1
    planned = PerVideo(dict(zip(trace.videos, earliest.tolist())))
    return [Candidate("oracle", planned, searched=True, runnable=False)]
