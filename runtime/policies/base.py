"""Exit policies: what a policy sees, what it decides, and everything that is particular to it.

A policy is a small pure object: it says what evidence a step needs and whether that evidence ends the clip. The runtime
computes no more than what is asked for; the last step always ends and asks nothing. The same object replays a recorded
run: evidence then holds arrays, a value for every video, and so does the decision.

To add a policy, write one class in a module here (or in a package of your own) and register its ``kind`` in
``registry.py`` (or by an entry point of the group ``vbench.policies``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, Union

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

# One clip's, or an array [videos] of them.
Score = Union[float, NDArray[np.float64]]  # noqa: UP007 - evaluated, and Python 3.10 has no | of these
Label = Union[int, NDArray[np.int64]]  # noqa: UP007
Name = Union[str, Sequence[str]]  # noqa: UP007
Decision = Union[bool, NDArray[np.bool_]]  # noqa: UP007


@dataclass(frozen=True)
class Evidence:
    """What is known after a step, where it was asked for.

    Attributes:
        step: 1-based position in the policy's route.
        gate: value of the step's gate, high = exit.
        confidence: top softmax probability.
        entropy: of the softmax, as a share of the largest possible (0 = certain, 1 = uniform).
        labels: most probable class after this step and all before it whose classifier ran.
        video: name of the clip, where it has one.
    """

    step: int
    gate: Score | None = None
    confidence: Score | None = None
    entropy: Score | None = None
    labels: tuple[Label, ...] = ()
    video: Name = ""


class StepExplanation(NamedTuple):
    """Why a clip ended at a step, or continued.

    Attributes:
        ends: the policy ends the clip here.
        text: what was compared, such as ``gate 0.83 > 0.5``.
        value, threshold: the two numbers, None where the rule compares none.
    """

    ends: bool
    text: str
    value: float | None = None
    threshold: float | None = None


class Candidate(NamedTuple):
    """A policy to replay in a sweep.

    Attributes:
        group: what it is compared under, such as ``gates`` or ``confidence``.
        searched: its numbers were chosen by looking at the labels of these very videos, so its accuracy is optimistic.
        runnable: it could be run; the oracle could not.
        baseline: it only shows what others are worth; ``vbench tune`` chooses it where it is asked for by name.
    """

    group: str
    policy: Policy
    searched: bool = False
    runnable: bool = True
    baseline: bool = False


class SweepTrace(Protocol):
    """What a sweep grid sees of a recorded trace of S steps and n videos."""

    @property
    def steps(self) -> int:
        """S."""
        ...

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames that each step reads."""
        ...

    @property
    def videos(self) -> tuple[str, ...]:
        """Their keys."""
        ...

    @property
    def gates(self) -> NDArray[np.float64]:
        """Gate values ``[S, n]``, NaN where a step has no gate."""
        ...

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Top softmax probabilities ``[S, n]``."""
        ...

    @property
    def entropies(self) -> NDArray[np.float64]:
        """Entropies ``[S, n]``."""
        ...

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the most probable class is right, ``[S, n]``."""
        ...

    @property
    def counted_hits(self) -> NDArray[np.bool_]:
        """``hits`` of the videos that are labeled, ``[S, n]``."""
        ...

    @property
    def default_policy(self) -> Policy:
        """The policy that a run of the network follows by default."""
        ...

    def macs_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the MACs of a video that exits at each step ``[S]``."""
        ...

    def tally(self, policy: Policy) -> Tally:
        """Replay a policy."""
        ...


class Tally(NamedTuple):
    """How many videos end at each step, int64 ``[S]``, and how many of the labeled ones are right then."""

    exits: NDArray[np.int64]
    right: int


Grid = Callable[[SweepTrace, int], list[Candidate]]


class Policy(ABC):
    """Decides after each step but the last of its route whether the clip ends; a frozen dataclass of its numbers.

    Attributes:
        kind: its name in records and in the registry.
        selects_steps: whether it names the steps that a clip goes through (by the frames that they read), as
            frame-count networks need it; otherwise it walks through the steps of an early-exit network.
        not_servable: why a server cannot follow it, as the rest of "a random policy ..."; "" if it can.
    """

    kind: ClassVar[str]
    selects_steps: ClassVar[bool] = False
    not_servable: ClassVar[str] = "is not known to the served model"

    @abstractmethod
    def needs_logits(self, step: int) -> bool:
        """Say whether the classifier of this step has to run before the decision."""

    @abstractmethod
    def needs_gate(self, step: int) -> bool:
        """Say whether the gate of this step has to run; the first step has none."""

    @abstractmethod
    def exits(self, evidence: Evidence) -> Decision:
        """Say whether the clip ends here."""

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return the steps that a clip goes through, 1-based and in order, in a network whose steps read ``frames``.

        Raises:
            UsageError: the policy does not fit such a network.
        """
        return tuple(range(1, len(frames) + 1))

    @property
    def frame_counts(self) -> tuple[int, ...]:
        """Frames that the steps of its route read, where it selects them; () otherwise."""
        return ()

    def threshold_at(self, step: int) -> float | None:  # noqa: ARG002
        """Return what the value compared at a step has to exceed, None where no value is compared with a threshold."""
        return None

    def label(self) -> str:
        """Return a short text for legends and titles, such as ``frameexit first=0.95 gate=0.5``."""
        return record_label(self.record())

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Return the decision on one clip's evidence, with the reason in words."""
        return StepExplanation(bool(self.exits(evidence)), self.kind)

    def record(self) -> dict[str, Any]:
        """Return ``kind`` and numbers as JSON, as the record of a run has them."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, **{name: _as_json(value) for name, value in numbers.items()}}

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return the sweep grids of this class by the name of their group; {} if it is not swept."""
        return {}

    def serving(self) -> dict[str, Any]:
        """Return the policy as the served ``model.py`` reads it.

        Raises:
            UsageError: a server cannot follow it.
        """
        if self.not_servable:
            from .registry import servable_kinds

            kinds = servable_kinds(selects_steps=self.selects_steps)
            raise UsageError(f"a {self.kind} policy {self.not_servable}", f"give one of {', '.join(kinds)}")
        return self.record()


def record_label(record: Mapping[str, object]) -> str:
    """Return the label that follows from a record alone: the kind, then every number under a short name."""
    numbers = {name: value for name, value in record.items() if name != "kind" and value is not None and value != []}
    return " ".join([str(record["kind"]), *(f"{_short(name)}={_brief(value)}" for name, value in numbers.items())])


def _short(name: str) -> str:
    return name.removesuffix("s").removesuffix("_threshold")


def _brief(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{len(value)} videos"
    if not isinstance(value, list) or not all(isinstance(entry, int | float) for entry in value):
        return str(value)
    low, high = min(value), max(value)
    return str(low) if low == high else f"{low}..{high}"


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def require_fraction(name: str, value: float) -> None:
    """Raise UsageError unless ``value`` lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} {value} is outside [0, 1]", "give a probability")
