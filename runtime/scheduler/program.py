"""The arithmetic of a network's steps on slots: all that the scheduling loop knows of a network.

A program owns the engine's buffers of every slot. The loop calls it in one order: `begin` and `move` for slots whose
clip changes, `load` for the input of each clip's next step, `backbone` over all rows, then `launch` for the rows whose
clips have not ended meanwhile; what `launch` returns is resolved to decisions now, or after the next `backbone`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..inputs.prefetch import Prefetcher
from .decision import ClipHistory, StepDecision
from .schedules import SlotMove


class StepRequest(NamedTuple):
    """One row: the clip of ``slot`` is at ``step`` (1-based position in the policy's route)."""

    slot: int
    step: int
    history: ClipHistory


class PendingDecisions(Protocol):
    """Decisions whose parts have been launched."""

    def resolve(self) -> dict[int, StepDecision]:
        """Wait for the values and decide, by slot."""
        ...


class StepProgram(ABC):
    """The steps of one network under one policy, on a number of slots. Owned by one thread.

    Attributes:
        steps: most steps that a clip takes.
        class_names: names of the classes, where the bundle knows them.
        reads_ahead: whether the next step's input may be read before the decision on the step before it; False where
            most clips end first and a step's input is large.
        has_heads: whether `launch` runs parts of its own, whose time is told apart from the backbone's.
        backbone_macs: multiply-accumulates of a row that `backbone` computes although its clip has ended.
        launch_macs: those that `launch` adds to such a row.
    """

    steps: int
    class_names: Sequence[str] | None = None
    reads_ahead: bool = True
    has_heads: bool = True
    backbone_macs: int = 0
    launch_macs: int = 0

    def begin(self, slot: int) -> None:  # noqa: B027 - not every program keeps state
        """Reset a slot: a clip begins in it."""

    @abstractmethod
    def move(self, move: SlotMove, *, loaded: bool) -> None:
        """Move a clip to another slot, with the input of its next step if that is loaded."""

    @abstractmethod
    def load(self, slot: int, step: int, source: Prefetcher) -> None:
        """Put the input of a step into a slot, waiting until it has been read.

        Raises:
            VbenchError: the clip cannot be opened, or a frame not be read.
        """

    @abstractmethod
    def backbone(self, rows: Sequence[StepRequest]) -> None:
        """Run the backbone of every row; slots are 0 to ``len(rows) - 1``, and those of ended clips are among them."""

    @abstractmethod
    def launch(self, requests: Sequence[StepRequest], rows: int) -> PendingDecisions:
        """Update the state of these rows and launch what decides about them, after `backbone` over ``rows`` rows."""

    @abstractmethod
    def frames_used(self, exit_step: int) -> int:
        """Return how many frames a clip has looked at when it ends at a step (1-based)."""
