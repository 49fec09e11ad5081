"""What the steps of a network cost, by the parts that a policy makes run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.networks.family import StepSpec
from ...runtime.policies.base import Policy


@dataclass(frozen=True)
class StepCosts:
    """One number for every step, the first first.

    Attributes:
        frames: frames that the step looks at.
        macs: multiply-accumulates that it costs whatever the policy.
        gate_macs, classifier_macs: those of its gate and its classifier; 0 where it has none, or has it always.
    """

    frames: tuple[int, ...]
    macs: tuple[int, ...]
    gate_macs: tuple[int, ...]
    classifier_macs: tuple[int, ...]

    @property
    def uniform(self) -> bool:
        """Whether each step reads and costs the same, whatever a policy adds, so that times lie on a line."""
        return len(set(zip(self.frames, self.macs))) == 1

    def frames_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the frames looked at by a video that exits at each step, float64 ``[steps]``."""
        return self.summed(self.frames, policy)

    def macs_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the MACs of every part that runs for a video that exits at each step, float64 ``[steps]``.

        As the runtime does it: the first step of the policy's route has no gate, nothing is decided at the last, and
        where the policy does not look at the logits the classifier runs at the exit only. A step that is not on the
        route costs what led there.
        """
        route = policy.route(self.frames)
        looks, at_exit = np.zeros(len(self.macs)), np.array(self.classifier_macs, np.float64)
        for position, step in enumerate(route[:-1], start=1):
            if policy.needs_logits(position):
                looks[step - 1] += self.classifier_macs[step - 1]
                at_exit[step - 1] = 0
            if position > 1 and policy.needs_gate(position):
                looks[step - 1] += self.gate_macs[step - 1]
        return self.summed(self.macs, policy) + np.cumsum(looks) + at_exit

    def summed(self, each: Sequence[float] | NDArray[np.float64], policy: Policy) -> NDArray[np.float64]:
        """Add up what ran until each step, along the policy's route."""
        route = policy.route(self.frames)
        on_route = [step in route for step in range(1, len(self.frames) + 1)]
        return np.cumsum(np.multiply(each, on_route)).astype(np.float64)


def step_costs(steps: Sequence[StepSpec]) -> StepCosts:
    """Return the costs of the steps that a network family names."""
    return StepCosts(
        frames=tuple(step.frames for step in steps),
        macs=tuple(step.macs for step in steps),
        gate_macs=tuple(step.gate_macs for step in steps),
        classifier_macs=tuple(step.classifier_macs for step in steps),
    )
