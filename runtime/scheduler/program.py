"""Interface between the scheduling loop and a network: the arithmetic of its steps on slots.

A program owns the engine's buffers for all slots. The loop calls its methods in a fixed order: `begin` and `move` for
slots whose clip changes, `load` for the input of each clip's next step, `backbone` for all rows, and `launch` for the
rows of clips that have not ended. The pending decisions that `launch` returns are resolved immediately, or after the
next call to `backbone`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..bundle.manifest import Output
from ..inputs.prefetch import Prefetcher
from .decision import ClipHistory, StepDecision
from .schedules import SlotMove


class StepRequest(NamedTuple):
    """One row: the clip in ``slot`` is at ``step``, a 1-based position in the policy's route."""

    slot: int
    step: int
    history: ClipHistory


class PendingDecisions(Protocol):
    """Decisions whose gates and classifiers have been launched."""

    def resolve(self) -> dict[int, StepDecision]:
        """Wait for the values and return the decisions, by slot."""
        ...


class StepProgram(ABC):
    """The steps of one network under one policy, on a fixed number of slots. Owned by one thread.

    Attributes:
        steps: maximum number of steps per clip.
        class_names: names of the classes, if the bundle has them.
        output: function that turns the logits into probabilities.
        reads_ahead: whether the next step's input may be read before the current decision; False if most clips end
            early and the input of a step is large.
        has_heads: whether `launch` runs parts of its own, whose time is reported separately from the backbone's.
        backbone_macs: multiply-accumulates that `backbone` spends on a row whose clip has ended.
        launch_macs: multiply-accumulates that `launch` adds to such a row.
    """

    steps: int
    class_names: Sequence[str] | None = None
    output: Output = "softmax"
    reads_ahead: bool = True
    has_heads: bool = True
    backbone_macs: int = 0
    launch_macs: int = 0

    def begin(self, slot: int) -> None:  # noqa: B027 - not every program keeps state
        """Reset a slot for a new clip."""

    @abstractmethod
    def move(self, move: SlotMove, *, loaded: bool) -> None:
        """Move a clip to another slot, including the input of its next step if that is ``loaded``."""

    @abstractmethod
    def load(self, slot: int, step: int, source: Prefetcher) -> None:
        """Load the input of a step into a slot, waiting until it has been read.

        Raises:
            VbenchError: the clip cannot be opened or a frame cannot be read.
        """

    @abstractmethod
    def backbone(self, rows: Sequence[StepRequest]) -> None:
        """Run the backbone on slots 0 to ``len(rows) - 1``, including those of clips that have ended."""

    @abstractmethod
    def launch(self, requests: Sequence[StepRequest], rows: int) -> PendingDecisions:
        """Update the state of these rows and launch their decisions, after `backbone` has run on ``rows`` rows."""

    @abstractmethod
    def frames_used(self, exit_step: int) -> int:
        """Return the number of frames, counted in one view, that a clip has used if it ends at this 1-based step."""
