"""Result of one clip: prediction or error, the result of each step, and the cost.

`ClipResult` is the only result record; it is passed unchanged from the scheduler to the code that writes tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import VbenchError
from ..bundle.manifest import Output
from ..inputs.base import ReadCost
from ..policies.confidence import probabilities_of

Logits = NDArray[np.float32]
State = NDArray[np.float32]


class Step(NamedTuple):
    """Result of one step of a clip.

    Attributes:
        gate: value of the step's gate, if it ran.
        logits: float32 ``[classes]``, if the step's classifier ran.
        score: the value that the policy compared: the gate value, or the confidence where there is no gate; None at the
            last step, which needs no decision.
        elapsed_s: the clip's share of the time since its previous step; these add up to the total time.
        latency_s: time from the start of the clip to the end of this step.
        other_gates: values of the step's gate in the gate sets that were only recorded, by set name.
    """

    gate: float | None
    logits: Logits | None
    score: float | None
    elapsed_s: float
    latency_s: float
    other_gates: dict[str, float] | None = None


@dataclass
class ClipCost:
    """Cost of one clip. Times are in seconds; a batch's time is divided evenly among its clips.

    Attributes:
        read: what reading the clip cost, in frames and time.
        macs: multiply-accumulates of every part that ran for the clip.
        macs_wasted: multiply-accumulates of classifiers whose logits went unused, plus this clip's share of the rows
            that were computed for clips that had already ended.
        latency_s: time from the clip's admission to a slot until its result.
        wait_s: time the engine waited for pixels.
        backbone_s, head_s: engine time of the backbone, and of the accumulator, gates and classifiers. On an
            asynchronous engine (trt, torch on a GPU), the time to launch the backbone, and the rest, including all
            waiting.
        scheduling_s: all other time between ticks.
        elapsed_s: wall-clock time since the previous result; these add up to the total time.
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
        label: index of the most probable class; in case of a tie, the first.
        name: class name, if the bundle has class names.
        logits: float32 ``[classes]`` at the exit step; their mean over the crops if the network uses several.
        probabilities: float32 ``[classes]``: the softmax of ``logits``, or their sigmoid if classes are independent.
        exit_step: 1-based step at which the clip ended; for a frame-flexible network, the position in the cascade.
        frames_used: number of frames used, summed over all frame counts tried.
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
    """Result of a clip: prediction or error, steps, and cost; ``clip`` is its 0-based number in order of submission.

    ``states`` contains the state after each step, float32 ``[hidden]``, if the policy records states; it is empty
    otherwise.
    """

    clip: int
    prediction: Prediction | None
    error: VbenchError | None
    steps: tuple[Step, ...]
    cost: ClipCost
    states: tuple[State, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        """Values that the policy compared, one for each step with a decision."""
        return tuple(step.score for step in self.steps if step.score is not None)

    def unwrap(self) -> Prediction:
        """Return the prediction.

        Raises:
            VbenchError: the clip's own error, if it failed.
        """
        if self.error is not None:
            raise self.error
        assert self.prediction is not None
        return self.prediction


def predict(
    logits: Logits,
    class_names: Sequence[str] | None,
    output: Output = "softmax",
    *,
    exit_step: int,
    frames_used: int,
    macs: int,
) -> Prediction:
    """Return the prediction for logits ``[classes]``."""
    label = int(logits.argmax())
    return Prediction(
        label=label,
        name=class_names[label] if class_names else None,
        logits=logits,
        probabilities=probabilities_of(logits, output),
        exit_step=exit_step,
        frames_used=frames_used,
        macs=macs,
    )
