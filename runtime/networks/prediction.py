"""What a user gets of a clip: its class, with the probabilities of all, and what it took to find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import VbenchError
from ..bundle.manifest import Manifest
from ..scheduler.results import Answer, Cost, Step


@dataclass(frozen=True)
class Prediction:
    """Answer for one clip.

    Attributes:
        label: index of the most probable class (the first of equals).
        name: its name, where the bundle knows names.
        logits: float32 ``[classes]`` at the exit step; of a network that sees several crops, their mean.
        probabilities: float32 ``[classes]``, their softmax.
        exit_step: 1-based step at which the clip ended; of a frame-flexible network, the place in its cascade.
        frames_used: number of frames the network looked at, those of all frame counts that were tried.
        macs: multiply-accumulates of every part that ran for this clip.
    """

    label: int
    name: str | None
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    exit_step: int
    frames_used: int
    macs: int


class StreamResult(NamedTuple):
    """What became of the clip number ``clip`` (from 0): a prediction or an error, what was compared, what it cost.

    ``steps`` are what its steps came to.

    ``scores`` are what the policy compared, step by step: the confidence of step 1, then gate values (FrameExit) or
    confidences (a cascade of frame counts), as far as the clip went.
    """

    clip: int
    prediction: Prediction | None
    error: VbenchError | None
    scores: tuple[float, ...]
    cost: Cost
    steps: tuple[Step, ...] = ()


def stream_result(
    clip: int, answer: Answer | None, found: Prediction | None, error: VbenchError | None, cost: Cost
) -> StreamResult:
    """Return what a stream says of a clip, with an answer and the prediction made of it or with an error."""
    if answer is None:
        return StreamResult(clip, None, error, (), cost)
    return StreamResult(clip, found, error, answer.scores, cost, answer.steps)


def prediction(manifest: Manifest, answer: Answer, cost: Cost, frames_used: int) -> Prediction:
    """Return the prediction that an answer stands for."""
    label = int(answer.logits.argmax())
    names = manifest.class_names
    return Prediction(
        label=label,
        name=names[label] if names else None,
        logits=answer.logits,
        probabilities=softmax(answer.logits),
        exit_step=answer.exit_step,
        frames_used=frames_used,
        macs=cost.macs,
    )


def certainty(logits: NDArray[np.float32]) -> tuple[float, float]:
    """Return the top softmax probability of logits ``[classes]``, and their entropy (0 is sure, 1 knows nothing)."""
    probabilities = softmax(logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probabilities == 0, np.float32(0), probabilities * np.log(probabilities))
    return float(probabilities.max()), float(-terms.sum() / np.log(max(len(logits), 2)))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over the last axis, in float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities
