"""What comes out of a stream of clips: answers, errors, and what each clip has cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import VbenchError
from ..inputs.frame_input import ReadCost


class Step(NamedTuple):
    """What one step of a clip came to.

    Attributes:
        gate: value of its gate, where it ran.
        logits: float32 ``[classes]``, where its classifier ran.
        elapsed_s: its share of the time since the step before, so that the sum over all steps is the whole time.
        latency_s: from the start of the clip to the end of this step.
    """

    gate: float | None
    logits: NDArray[np.float32] | None
    elapsed_s: float
    latency_s: float


@dataclass(frozen=True)
class Answer:
    """Answer of one clip: float32 ``logits [classes]``, the 1-based exit step, and what the policy compared on the way.

    ``scores`` holds one number for every step but the network's last: the confidence of step 1, then gate values.
    ``steps`` has one entry for every step that ran.
    """

    logits: NDArray[np.float32]
    exit_step: int
    scores: tuple[float, ...]
    steps: tuple[Step, ...] = ()


@dataclass
class Cost:
    """What one clip has cost. Times in seconds; those of a batch are shared out evenly over the clips in it.

    Attributes:
        read: frames and time of its reader.
        macs: multiply-accumulates of every part that ran for it.
        macs_in_vain: those of rows that were computed although their clip had ended, its share of them.
        latency_s: from its start (when it is given a slot) to its answer.
        wait_s: time in which the engine waited for pixels.
        backbone_s, head_s: time in the engine; the head is accumulator, gates and classifiers. Where an engine computes
            while the host goes on (trt, torch on a GPU), launching the backbone, and all of the waiting.
        scheduling_s: everything else between ticks.
        elapsed_s: wall-clock time since the answer before it, so that the sum over clips is the whole time.
    """

    read: ReadCost = field(default_factory=ReadCost)
    macs: int = 0
    macs_in_vain: float = 0.0
    latency_s: float = 0.0
    wait_s: float = 0.0
    backbone_s: float = 0.0
    head_s: float = 0.0
    scheduling_s: float = 0.0
    elapsed_s: float = 0.0


class Outcome(NamedTuple):
    """What became of the clip number ``clip`` (from 0, in the order given): an answer or an error, and its cost."""

    clip: int
    answer: Answer | None
    error: VbenchError | None
    cost: Cost
