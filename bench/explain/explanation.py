"""Data for explaining one prediction; ``explain.py`` collects it, ``plots/film`` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...runtime.policies.base import StepExplanation


class ClassScore(NamedTuple):
    """A class with its probability; ``right`` is whether the video has this class, None if its classes are unknown."""

    label: int
    name: str
    probability: float
    right: bool | None


@dataclass(frozen=True)
class StepView:
    """One step of the prediction.

    Attributes:
        step: 1-based.
        position: 0-based index of the frame in the video.
        place: 1-based temporal rank among the frames that the network samples.
        gate: value of the step's gate; None for the first and last steps.
        decision: decision of the policy; for a step after the exit, the decision it would have made.
        top: the most probable classes after this step, in descending order.
        picture: uint8 RGB ``[h, w, 3]``, the whole frame, scaled down to at most 320 pixels on its longer side.
    """

    step: int
    position: int
    place: int
    gate: float | None
    decision: StepExplanation
    top: tuple[ClassScore, ...]
    picture: NDArray[np.uint8]


@dataclass(frozen=True)
class Explanation:
    """Record of one prediction, step by step.

    Attributes:
        video: its name; ``length`` is its number of frames.
        policy: the record of the policy; ``policy_label`` is a short text for titles.
        true_classes: names of the video's classes; None if they are unknown.
        sampled: number of frames that the network samples.
        seen_share: side of the square center crop that the network sees, as a fraction of the frame's shorter side.
        exit_step: 1-based.
        steps: the steps in order, up to the exit step or all of them.
    """

    video: str
    bundle: str
    engine: str
    policy: dict[str, Any]
    policy_label: str
    true_classes: tuple[str, ...] | None
    length: int
    sampled: int
    seen_share: float
    exit_step: int
    steps: tuple[StepView, ...]

    @property
    def answer(self) -> ClassScore:
        """Top class at the exit step."""
        return self.steps[self.exit_step - 1].top[0]
