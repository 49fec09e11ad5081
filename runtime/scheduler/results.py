"""Result of one clip: the prediction or the error, what each step yielded, and the cost.

`ClipResult` is the one record that travels from the scheduler to the row of a table; nothing repacks it on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import VbenchError
from ..inputs.base import ReadCost
from ..policies.confidence import softmax

Logits = NDArray[np.float32]


class Step(NamedTuple):
    """Result of one step of a clip.

    Attributes:
        gate: value of its gate, where it ran.
        logits: float32 ``[classes]``, where its classifier ran.
        score: what the policy compared: the gate value, or the confidence where there is no gate; None at the last
            step, where nothing is decided.
        elapsed_s: its share of the time since the step before, so that the sum over all steps is the whole time.
        latency_s: from the start of the clip to the end of this step.
    """

    gate: float | None
    logits: Logits | None
    score: float | None
    elapsed_s: float
    latency_s: float


@dataclass
class ClipCost:
    """Cost of one clip. Times in seconds; those of a batch are divided evenly among the clips in it.

    Attributes:
        read: frames and time of its reader.
        macs: multiply-accumulates of every part that ran for it.
        macs_wasted: its share of rows that were computed although their clip had ended.
        latency_s: from its start (when it is given a slot) to its result.
        wait_s: time in which the engine waited for pixels.
        backbone_s, head_s: time in the engine; the head is accumulator, gates and classifiers. Where an engine computes
            asynchronously (trt, torch on a GPU), launching the backbone, and all of the waiting.
        scheduling_s: everything else between ticks.
        elapsed_s: wall-clock time since the result before it, so that the sum over clips is the whole time.
    """

    read: ReadCost = field(default_factory=ReadCost)
    macs: int = 0
    macs_wasted: float = 0.0
    latency_s: float = 0.0
    wait_s: float = 0.0
    backbone_s: float = 0.0
    head_s: float = 0.0
    scheduling_s: float = 0.0
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """Prediction for one clip.

    Attributes:
        label: index of the most probable class (the first of equals).
        name: its name, where the bundle knows names.
        logits: float32 ``[classes]`` at the exit step; of a network that sees several crops, their mean.
        probabilities: float32 ``[classes]``, their softmax.
        exit_step: 1-based step at which the clip ended; of a frame-flexible network, the position in its cascade.
        frames_used: number of frames the network looked at, those of all frame counts that were tried.
        macs: multiply-accumulates of every part that ran for this clip.
    """

    label: int
    name: str | None
    logits: Logits
    probabilities: NDArray[np.float32]
    exit_step: int
    frames_used: int
    macs: int


@dataclass(frozen=True)
class ClipResult:
    """Result of clip number ``clip`` (from 0, in order of submission): prediction or error, steps and cost."""

    clip: int
    prediction: Prediction | None
    error: VbenchError | None
    steps: tuple[Step, ...]
    cost: ClipCost

    @property
    def scores(self) -> tuple[float, ...]:
        """What the policy compared, step by step, as far as the clip went."""
        return tuple(step.score for step in self.steps if step.score is not None)

    def unwrap(self) -> Prediction:
        """Return the prediction.

        Raises:
            VbenchError: the clip failed; this is its error.
        """
        if self.error is not None:
            raise self.error
        assert self.prediction is not None
        return self.prediction


def predict(
    logits: Logits, class_names: Sequence[str] | None, *, exit_step: int, frames_used: int, macs: int
) -> Prediction:
    """Return the prediction that logits ``[classes]`` stand for."""
    label = int(logits.argmax())
    return Prediction(
        label=label,
        name=class_names[label] if class_names else None,
        logits=logits,
        probabilities=softmax(logits),
        exit_step=exit_step,
        frames_used=frames_used,
        macs=macs,
    )
