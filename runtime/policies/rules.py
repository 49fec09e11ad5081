"""Exit rules beside the authors' gates, to compare them with; each is a `Policy`.

All but `Fixed` and `Random` cost a classifier at every step. `Fixed`, `Random` and `Planned` look at nothing: they show
what a number of frames is worth, what any choice would reach by chance, and what a choice made beforehand reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from hashlib import blake2b
from typing import Any

import numpy as np

from ...errors import UsageError
from .base import Decision, Evidence, fraction

_WHOLE = 1e-6  # shares come as decimals


class _Blind:
    """A policy that looks at nothing and fits every network."""

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        """No classifier is needed."""
        return False

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002
        """No gate is needed."""
        return False

    def check_steps(self, steps: int) -> None:
        """See `Policy.check_steps`."""


class _Watching(_Blind):
    """A policy that looks at the answer of every step."""

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        """Every step looks at its answer."""
        return True


@dataclass(frozen=True)
class Everything(_Watching):
    """Never exits and computes all that there is: what a trace is recorded with."""

    def needs_gate(self, step: int) -> bool:
        """Every gate runs."""
        return step > 1

    def exits(self, evidence: Evidence) -> Decision:  # noqa: ARG002
        """Go on to the end."""
        return False

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "everything"}


@dataclass(frozen=True)
class Confidence(_Watching):
    """Exits as soon as the top softmax probability is strictly above ``threshold``."""

    threshold: float

    def __post_init__(self) -> None:
        fraction("confidence", self.threshold)

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly; a NaN goes on."""
        return False if evidence.confidence is None else evidence.confidence > self.threshold

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "confidence", "threshold": self.threshold}


@dataclass(frozen=True)
class Entropy(_Watching):
    """Exits as soon as the entropy of the softmax (0 is sure, 1 knows nothing) is strictly below ``threshold``."""

    threshold: float

    def __post_init__(self) -> None:
        fraction("entropy", self.threshold)

    def exits(self, evidence: Evidence) -> Decision:
        """Compare strictly; a NaN goes on."""
        return False if evidence.entropy is None else evidence.entropy < self.threshold

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "entropy", "threshold": self.threshold}


@dataclass(frozen=True)
class Patience(_Watching):
    """Exits as soon as the answer has been the same ``times`` times in a row (PABEE, Zhou et al. 2020)."""

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

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "patience", "times": self.times}


@dataclass(frozen=True)
class Fixed(_Blind):
    """Exits after ``steps`` steps, whatever they show."""

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"{self.steps} steps are none", "give 1 or more")

    def check_steps(self, steps: int) -> None:
        """See `Policy.check_steps`: there have to be that many."""
        if self.steps > steps:
            raise UsageError(f"fixed at {self.steps} steps, the network has {steps}", f"give 1 to {steps}")

    def exits(self, evidence: Evidence) -> Decision:
        """Count."""
        return evidence.step >= self.steps

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "fixed", "steps": self.steps}


@dataclass(frozen=True)
class Random(_Blind):
    """Exits at a step drawn for each video: at step t with probability ``shares[t - 1]``.

    The draw depends on the video's name and the seed only, so that it is the same in every order, run and replay.
    """

    shares: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        for share in self.shares:
            fraction("share", share)
        if abs(sum(self.shares) - 1) > _WHOLE:
            raise UsageError(f"shares of {sum(self.shares):g} in all", "give one for each step, 1 together")

    def check_steps(self, steps: int) -> None:
        """See `Policy.check_steps`: one share for each."""
        if len(self.shares) != steps:
            raise UsageError(f"{len(self.shares)} shares, the network has {steps} steps", "give one for each step")

    def exits(self, evidence: Evidence) -> Decision:
        """Compare the video's draw with the share of all that leave up to this step."""
        bound = sum(self.shares[: evidence.step])
        if isinstance(evidence.video, str):
            return draw(self.seed, evidence.video) < bound
        return np.array([draw(self.seed, video) for video in evidence.video]) < bound

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "random", "shares": list(self.shares), "seed": self.seed}


@dataclass(frozen=True)
class Planned(_Blind):
    """Exits at a step chosen for each video beforehand, by its name: what the oracle is; unnamed ones see it all."""

    steps: Mapping[str, int]

    def exits(self, evidence: Evidence) -> Decision:
        """Look the video up."""
        if isinstance(evidence.video, str):
            return evidence.step >= self._step(evidence.video, evidence.step)
        return np.array([evidence.step >= self._step(video, evidence.step) for video in evidence.video])

    def record(self) -> dict[str, Any]:
        """See `Policy.record`."""
        return {"kind": "planned", "steps": dict(self.steps)}

    def _step(self, video: str, now: int) -> int:
        return self.steps.get(video, now + 1)


@lru_cache(maxsize=1 << 17)
def draw(seed: int, video: str) -> float:
    """Return a number in [0, 1) that depends on seed and name alone."""
    digest = blake2b(f"{seed}:{video}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2.0**48
