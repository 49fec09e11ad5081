"""Exit policies: evidence, decisions, and everything specific to a policy.

A policy is a small pure object that names the evidence it needs at each step and decides whether the clip ends there.
The runtime computes only the requested evidence; the last step always ends the clip, without a decision. The same
object replays a recorded run, in which case evidence and decisions are arrays with one value per video.

To add a policy, write one class in a module here (or in a package of your own) and register its ``kind`` in
``registry.py`` (or through an entry point in the group ``vbench.policies``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, Union

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

# A value for one clip, or an array [videos] of values.
Score = Union[float, NDArray[np.float64]]  # noqa: UP007 - evaluated, and Python 3.10 cannot join these with |
Label = Union[int, NDArray[np.int64]]  # noqa: UP007
Name = Union[str, Sequence[str]]  # noqa: UP007
Decision = Union[bool, NDArray[np.bool_]]  # noqa: UP007


@dataclass(frozen=True)
class Evidence:
    """Evidence available after a step; values that the policy did not request may be missing.

    Attributes:
        step: 1-based position in the policy's route.
        gate: value of the step's gate; a high value means exit.
        confidence: probability of the top class.
        entropy: normalized entropy of the softmax (0 = certain, 1 = uniform).
        labels: most probable class at this step and at each earlier step whose classifier ran.
        video: name of the clip, if it has one.
    """

    step: int
    gate: Score | None = None
    confidence: Score | None = None
    entropy: Score | None = None
    labels: tuple[Label, ...] = ()
    video: Name = ""


class StepExplanation(NamedTuple):
    """Why a clip ended at a step or continued.

    Attributes:
        ends: whether the policy ends the clip here.
        text: the comparison, such as ``gate 0.83 > 0.5``.
        value, threshold: the numbers that were compared; None if the rule does not compare numbers.
    """

    ends: bool
    text: str
    value: float | None = None
    threshold: float | None = None


class Candidate(NamedTuple):
    """A policy to replay in a sweep.

    Attributes:
        group: name of its sweep group, such as ``gates`` or ``confidence``.
        searched: whether its thresholds were fitted to the labels of the same videos, which makes its accuracy
            optimistic.
        runnable: whether it can be run; the oracle cannot.
        baseline: whether it serves only as a reference; ``vbench tune`` selects it only if requested by name.
    """

    group: str
    policy: Policy
    searched: bool = False
    runnable: bool = True
    baseline: bool = False


class SweepTrace(Protocol):
    """A recorded trace of S steps and n videos, as seen by sweep grids."""

    @property
    def steps(self) -> int:
        """Number of steps S."""
        ...

    @property
    def frames(self) -> tuple[int, ...]:
        """Number of frames read by each step."""
        ...

    @property
    def videos(self) -> tuple[str, ...]:
        """Video keys."""
        ...

    @property
    def set_policies(self) -> Mapping[str | None, Policy]:
        """Default policy of each gate set, by name; the only key is None if the network has no named sets."""
        ...

    def gate_values(self, gate_set: str | None) -> NDArray[np.float64]:
        """Return the gate values ``[S, n]`` of a set; NaN for steps without a gate."""
        ...

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Top-class probabilities ``[S, n]``."""
        ...

    @property
    def entropies(self) -> NDArray[np.float64]:
        """Normalized entropies ``[S, n]``."""
        ...

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the most probable class is correct, ``[S, n]``."""
        ...

    @property
    def counted_hits(self) -> NDArray[np.bool_]:
        """``hits`` for the labeled videos, ``[S, n]``."""
        ...

    @property
    def default_policy(self) -> Policy:
        """The network's default policy."""
        ...

    def macs_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the MACs ``[S]`` of a video, by exit step."""
        ...

    def tally(self, policy: Policy) -> Tally:
        """Replay a policy on all videos."""
        ...


class Tally(NamedTuple):
    """Number of videos that exit at each step, int64 ``[S]``, and number of labeled videos classified correctly."""

    exits: NDArray[np.int64]
    right: int


Grid = Callable[[SweepTrace, int], list[Candidate]]


class Policy(ABC):
    """Base class of exit policies, which decide after each step but the last whether the clip ends.

    A policy is a frozen dataclass whose fields are its parameters.

    Attributes:
        kind: the policy's name in records and in the registry.
        selects_steps: whether the policy chooses which steps to run by their frame counts, as frame-count networks
            require; otherwise it runs the steps of an early-exit network in sequence.
        not_servable: why a server cannot run the policy, as the predicate of "a random policy ..."; "" if it can.
        records_states: whether to copy the state after each step to the host and keep it with the result.
        records_gate_sets: whether to run the gates of all sets and keep their values with the result.
    """

    kind: ClassVar[str]
    selects_steps: ClassVar[bool] = False
    records_states: ClassVar[bool] = False
    records_gate_sets: ClassVar[bool] = False
    not_servable: ClassVar[str] = "comes from a package that the repository does not contain"

    @abstractmethod
    def needs_logits(self, step: int) -> bool:
        """Return whether the classifier of this step must run before the decision."""

    @abstractmethod
    def needs_gate(self, step: int) -> bool:
        """Return whether the gate of this step must run; the first step has none."""

    @abstractmethod
    def exits(self, evidence: Evidence) -> Decision:
        """Return whether the clip ends at this step."""

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return a clip's steps, 1-based and in order, given the number of frames that each step reads.

        Raises:
            UsageError: the policy does not apply to a network with these steps.
        """
        return tuple(range(1, len(frames) + 1))

    @property
    def frame_counts(self) -> tuple[int, ...]:
        """Frame counts of the route's steps if the policy chooses them; () otherwise."""
        return ()

    @property
    def gate_set(self) -> str | None:
        """Name of the set whose gates the policy uses; None for the bundle's default."""
        return None

    def threshold_at(self, step: int) -> float | None:  # noqa: ARG002
        """Return the threshold that the step's value must exceed; None if the step has no threshold."""
        return None

    def label(self) -> str:
        """Return a short text for legends and titles, such as ``frameexit first=0.95 gate=0.5``."""
        return record_label(self.record())

    def explain(self, evidence: Evidence) -> StepExplanation:
        """Return the decision for one clip's evidence, and the reason for it in words."""
        return StepExplanation(bool(self.exits(evidence)), self.kind)

    def record(self) -> dict[str, Any]:
        """Return ``kind`` and the parameters as JSON values, as stored in the record of a run."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, **{name: _as_json(value) for name, value in numbers.items()}}

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        """Return the sweep grids of this class by group name; {} if it is not swept."""
        return {}


def record_label(record: Mapping[str, object]) -> str:
    """Return the default label for a record: the kind, followed by every parameter under a short name."""
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
    """Raise UsageError unless ``value`` is in [0, 1]."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} {value} is outside [0, 1]", "choose a value from 0 to 1")
