"""Cost of each step of a network, given the parts that a policy runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.networks.family import StepSpec
from ...runtime.policies.base import Policy


@dataclass(frozen=True)
class StepCosts:
    """Costs of each step, one value per step.

    Attributes:
        frames: frames that the step reads from one clip.
        macs: multiply-accumulates independent of the policy.
        gate_macs, classifier_macs: MACs of the step's gate and classifier; 0 if it has none or always runs it.
        clips: number of clips of that length that every step reads.
    """

    frames: tuple[int, ...]
    macs: tuple[int, ...]
    gate_macs: tuple[int, ...]
    classifier_macs: tuple[int, ...]
    clips: int = 1

    @property
    def uniform(self) -> bool:
        """Whether all steps have the same ``frames`` and ``macs``, so that times are linear in the number of steps."""
        return len(set(zip(self.frames, self.macs))) == 1

    def frames_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the number of frames read for a video, by exit step, float64 ``[steps]``."""
        return self.clips * self.summed(self.frames, policy)

    def macs_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the MACs of all parts run for a video, by exit step, float64 ``[steps]``.

        As in the runtime, the first step of the policy's route has no gate, nothing is decided at the last step, and
        unless the policy needs logits, the classifier runs only at the exit. A step that is not on the route costs as
        much as the route up to it.
        """
        route = policy.route(self.frames)
        decisions, at_exit = np.zeros(len(self.macs)), np.array(self.classifier_macs, np.float64)
        for position, step in enumerate(route[:-1], start=1):
            if policy.needs_logits(position):
                decisions[step - 1] += self.classifier_macs[step - 1]
                at_exit[step - 1] = 0
            if position > 1 and policy.needs_gate(position):
                decisions[step - 1] += self.gate_macs[step - 1]
        return self.summed(self.macs, policy) + np.cumsum(decisions) + at_exit

    def summed(self, each: Sequence[float] | NDArray[np.float64], policy: Policy) -> NDArray[np.float64]:
        """Return the cumulative sum of ``each`` up to every step, counting only steps on the policy's route."""
        route = policy.route(self.frames)
        on_route = [step in route for step in range(1, len(self.frames) + 1)]
        return np.cumsum(np.multiply(each, on_route)).astype(np.float64)


def step_costs(steps: Sequence[StepSpec]) -> StepCosts:
    """Return the costs of a network family's steps."""
    return StepCosts(
        frames=tuple(step.frames for step in steps),
        macs=tuple(step.macs for step in steps),
        gate_macs=tuple(step.gate_macs for step in steps),
        classifier_macs=tuple(step.classifier_macs for step in steps),
        clips=max(step.clips for step in steps),
    )
