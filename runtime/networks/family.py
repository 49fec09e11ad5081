"""The seam between network families and everything that runs, measures or describes them.

A family is a shape of dynamic computation, not an architecture: step + gate (FrameExit), or one part for every frame
count (TSM, TEA, SlowFast and Uniformer are architectures of one family). Wherever families differ, code calls a method
of this class; nothing else asks what kind of network it has. To add a family, write one module here, one in ``export/``
and the network in ``models/``, and register each in its layer's registry.
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

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..inputs.base import Clip, Reader
    from ..scheduler.options import StreamOptions
    from ..scheduler.program import StepProgram
    from .base import Network

M = TypeVar("M", bound=Manifest)


class StepSpec(NamedTuple):
    """One step of a network: how many ``frames`` it reads, and its MACs by the parts that a policy makes run.

    ``macs`` run whatever the policy; ``gate_macs`` and ``classifier_macs`` are 0 where there is no such part, or where
    it always runs and is counted in ``macs``.
    """

    frames: int
    macs: int
    gate_macs: int = 0
    classifier_macs: int = 0


class DatasetDefaults(NamedTuple):
    """What a data set recommends for the networks that run on it.

    ``first_threshold`` is the confidence above which FrameExit's first step exits; None: it recommends none.
    """

    name: str
    first_threshold: float | None = None


@dataclass(frozen=True)
class ResolvedPolicy:
    """A policy, and where the values come from that were not given explicitly, by option."""

    policy: Policy
    sources: dict[str, str]


class WarmUp(NamedTuple):
    """A clip to warm up with under a policy, run ``least`` times or more."""

    policy: Policy
    clip: NDArray[np.uint8]
    least: int


class RunVariant(NamedTuple):
    """One of several runs that a choice stands for: the folder's name, and what it chooses."""

    name: str
    choice: PolicyChoice


class Family(ABC, Generic[M]):
    """What one shape of dynamic computation defines.

    Attributes:
        name: the manifest's discriminator, and the name in the registry.
        manifest: schema of its bundles.
        cumulative: whether a step continues the one before it, so that a clip can exit early; otherwise each step
            starts anew, and stands for itself.
    """

    name: ClassVar[str]
    manifest: type[M]
    cumulative: ClassVar[bool]

    @abstractmethod
    def steps(self, manifest: M) -> tuple[StepSpec, ...]:
        """Return all steps that the bundle has parts for, in order."""

    def published_gmacs_per_step(self, manifest: M) -> float | None:  # noqa: ARG002
        """Return the constant by which the authors count compute, GMACs per frame read; None if they give none."""
        return None

    def reading_order(self, manifest: M) -> tuple[int, ...]:
        """Return, for every step, the place in time (from 0) of what it reads; a network may read out of order."""
        return tuple(range(len(self.steps(manifest))))

    @abstractmethod
    def accepts(self, policy: type[Policy]) -> bool:
        """Say whether policies of this class fit the family."""

    @abstractmethod
    def resolve(self, manifest: M, choice: PolicyChoice, dataset: DatasetDefaults | None = None) -> ResolvedPolicy:
        """Return the policy that ``choice`` stands for; defaults follow from ``dataset`` and the bundle.

        Raises:
            UsageError: choices that do not fit one another or the bundle.
        """

    @abstractmethod
    def all_steps(self, frames: Sequence[int]) -> Policy:
        """Return the policy without any early exit, for a network whose steps read ``frames``: the baseline."""

    def route(self, manifest: M, policy: Policy) -> tuple[int, ...]:
        """Return the steps (1-based) that a clip goes through under a policy.

        Raises:
            UsageError: the policy does not fit the network.
        """
        return policy.route([step.frames for step in self.steps(manifest)])

    def check_parts(self, manifest: M, policy: Policy, loaded: frozenset[str]) -> None:
        """Raise UsageError if the policy needs a part that is not among those ``loaded``."""

    def parts_needed(self, manifest: M, choice: PolicyChoice, policy: Policy) -> frozenset[str]:  # noqa: ARG002
        """Return the parts to load, where a choice leaves others out; all by default."""
        return frozenset(manifest.parts)

    def default_slots(self) -> int:
        """Return the number of clips that engines which are built for a batch size are built for."""
        return 8

    def rows_per_clip(self, manifest: M) -> int:  # noqa: ARG002
        """Return how many rows of a batch one clip takes."""
        return 1

    def run_variants(self, manifest: M, choice: PolicyChoice) -> tuple[RunVariant, ...]:  # noqa: ARG002
        """Return the runs that ``choice`` asks for one after the other; () if it asks for a single run."""
        return ()

    @abstractmethod
    def program(self, engine: Engine, manifest: M, policy: Policy, options: StreamOptions) -> StepProgram:
        """Return the arithmetic of the network on the slots of a stream."""

    @abstractmethod
    def open_input(self, engine: Engine, manifest: M, policy: Policy, clip: object) -> Reader:
        """Open a clip: anything that ``Network.predict`` takes, or a function that opens a source.

        Raises:
            FrameError: it is no clip, or gives no frame.
        """

    def check_stream(self, manifest: M, options: StreamOptions) -> None:  # noqa: ARG002
        """Raise UsageError if the network cannot be run with these options."""
        options.check()

    @abstractmethod
    def policy_for_clip(self, network: Network, clip: Clip, frames: int | None, budget_ms: float | None) -> Policy:
        """Return the policy for one call of ``Network.predict``.

        Raises:
            UsageError: the network has no such choice.
        """

    def within_budget(self, network: Network, budget_ms: float) -> Policy:  # noqa: ARG002
        """Return the policy that answers within a time on this machine, measuring it first if need be.

        Raises:
            UsageError: the family has no such choice, or nothing is quick enough.
        """
        raise UsageError(f"{network.bundle.manifest.network} cannot be run within a time", "leave --budget-ms out")

    @abstractmethod
    def warm_up(self, network: Network) -> tuple[WarmUp, ...]:
        """Return what has to run so that everything a clip may need under the network's policy has run."""

    @abstractmethod
    def describe(self, manifest: M) -> tuple[tuple[str, str], ...]:
        """Return what is particular to a bundle, as rows of a name and a text."""
