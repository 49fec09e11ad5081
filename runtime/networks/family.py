"""Interface between network families and the code that runs, measures or describes them.

A family is a form of dynamic computation, not an architecture: step + gate (FrameExit), or one part per frame count (a
single family with the architectures TSM, TEA, SlowFast and Uniformer). Where families differ, other code calls a method
of `Family` and never checks a network's kind. To add a family, write one module here, one in ``export/`` and the
network in ``models/``, and register each in its package's registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ..bundle.manifest import Manifest
from ..policies.base import Policy
from ..policies.choice import PolicyChoice
from ..policies.first_threshold import DatasetDefaults

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..inputs.base import Clip, Reader
    from ..scheduler.options import StreamOptions
    from ..scheduler.program import StepProgram
    from .base import Network

M = TypeVar("M", bound=Manifest)


class StepSpec(NamedTuple):
    """One step of a network: how many ``clips`` it reads, how many ``frames`` from each of them, and its MACs by part.

    ``macs`` is the cost that every policy incurs; ``gate_macs`` and ``classifier_macs`` are 0 if there is no such part,
    or if it always runs and is therefore included in ``macs``.
    """

    frames: int
    macs: int
    gate_macs: int = 0
    classifier_macs: int = 0
    clips: int = 1


@dataclass(frozen=True)
class ResolvedPolicy:
    """A policy, and where each of its values comes from, by option."""

    policy: Policy
    sources: dict[str, str]


class WarmUp(NamedTuple):
    """A policy, and a clip to run under it at least ``least`` times for warm-up."""

    policy: Policy
    clip: NDArray[np.uint8]
    least: int


class RecordableState(NamedTuple):
    """Description of the states that gates can be fitted to.

    Attributes:
        hidden: length of a state.
        trunk_sha256: digest of the tensors that compute the states.
        first_threshold: confidence above which step 1 exits, unless a gate set has a lower threshold.
    """

    hidden: int
    trunk_sha256: str
    first_threshold: float


class RunVariant(NamedTuple):
    """One of several runs that a choice requests: its folder name and its own policy choice."""

    name: str
    choice: PolicyChoice


class Family(ABC, Generic[M]):
    """Everything specific to one form of dynamic computation.

    Attributes:
        name: the family's name in the registry and in the manifest, where it is the discriminator.
        manifest: schema of the manifests of the family's bundles.
        cumulative: whether a step builds on the state of the previous one, so that a clip can exit early; otherwise
            the steps are independent.
    """

    name: ClassVar[str]
    manifest: type[M]
    cumulative: ClassVar[bool]

    @abstractmethod
    def steps(self, manifest: M) -> tuple[StepSpec, ...]:
        """Return all steps for which the bundle has parts, in order."""

    def published_gmacs_per_step(self, manifest: M) -> float | None:  # noqa: ARG002
        """Return the cost published by the authors, in GMACs per frame read; None if they published none."""
        return None

    def reading_order(self, manifest: M) -> tuple[int, ...]:
        """Return the 0-based temporal position of each step's input; a network may read its frames out of order."""
        return tuple(range(len(self.steps(manifest))))

    @abstractmethod
    def accepts(self, policy: type[Policy]) -> bool:
        """Return whether the family supports policies of this class."""

    @abstractmethod
    def resolve(self, manifest: M, choice: PolicyChoice, dataset: DatasetDefaults | None = None) -> ResolvedPolicy:
        """Return the policy that ``choice`` describes, with defaults from ``dataset`` and the bundle.

        Raises:
            UsageError: the choices conflict with one another or with the bundle.
        """

    @abstractmethod
    def all_steps(self, frames: Sequence[int]) -> Policy:
        """Return the baseline policy, which never exits early, given the number of frames that each step reads."""

    def route(self, manifest: M, policy: Policy) -> tuple[int, ...]:
        """Return the 1-based steps that a clip goes through under a policy.

        Raises:
            UsageError: the policy does not apply to the network.
        """
        return policy.route([step.frames for step in self.steps(manifest)])

    def check_parts(self, manifest: M, policy: Policy, loaded: frozenset[str]) -> None:
        """Raise UsageError if the policy needs a part that is not in ``loaded``."""

    def parts_needed(self, manifest: M, choice: PolicyChoice, policy: Policy) -> frozenset[str]:  # noqa: ARG002
        """Return the parts to load for a choice; all parts by default."""
        return frozenset(manifest.parts)

    def default_slots(self) -> int:
        """Return the default batch size, in clips, for engines that are built for a maximum batch size."""
        return 8

    def rows_per_clip(self, manifest: M) -> int:  # noqa: ARG002
        """Return the number of batch rows per clip."""
        return 1

    def run_variants(self, manifest: M, choice: PolicyChoice) -> tuple[RunVariant, ...]:  # noqa: ARG002
        """Return the runs that ``choice`` requests; () if it requests a single run."""
        return ()

    @abstractmethod
    def program(self, engine: Engine, manifest: M, policy: Policy, options: StreamOptions) -> StepProgram:
        """Return the network's step program for the slots of a stream."""

    @abstractmethod
    def open_input(self, engine: Engine, manifest: M, policy: Policy, clip: object) -> Reader:
        """Open a clip, which is anything that ``Network.predict`` accepts, or a function that opens a source.

        Raises:
            FrameError: the object is not a clip, or yields no frames.
        """

    def check_stream(self, manifest: M, options: StreamOptions) -> None:  # noqa: ARG002
        """Raise UsageError if the network does not support these options."""
        options.check()

    @abstractmethod
    def policy_for_clip(self, network: Network, clip: Clip, frames: int | None, budget_ms: float | None) -> Policy:
        """Return the policy for one call to ``Network.predict``.

        Raises:
            UsageError: the network does not support ``frames`` or ``budget_ms``, or the values given.
        """

    def gate_sets(self, manifest: M) -> tuple[str, ...]:  # noqa: ARG002
        """Return the names of the gate sets to choose from; () if the network has a single, unnamed set or no gates."""
        return ()

    def recordable_state(self, manifest: M, dataset: DatasetDefaults | None = None) -> RecordableState:  # noqa: ARG002
        """Describe the states that gates can be fitted to.

        Raises:
            UsageError: the network has no gates.
            BundleError: the bundle does not identify the tensors that compute the states.
        """
        raise UsageError(f"{manifest.network} has no gates to fit, so --features has nothing to record", "omit it")

    def within_budget(self, network: Network, budget_ms: float, *, remeasure: bool = False) -> ResolvedPolicy:  # noqa: ARG002
        """Return the policy whose latency on this machine is within the budget, measuring latencies if necessary.

        ``remeasure`` measures them even if they are already known. In the result, the measurement is the source of the
        option ``budget_ms``.

        Raises:
            UsageError: the family does not support a time budget, or no policy is fast enough.
        """
        raise UsageError(f"{network.bundle.manifest.network} does not support a time budget", "omit --budget-ms")

    @abstractmethod
    def warm_up(self, network: Network) -> tuple[WarmUp, ...]:
        """Return clips that exercise every part that the network's policy may need."""

    @abstractmethod
    def describe(self, manifest: M) -> tuple[tuple[str, str], ...]:
        """Return the family-specific properties of a bundle as (name, text) rows."""
