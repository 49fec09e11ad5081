"""What the steps of a network cost, by the parts that a policy makes run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.bundle.manifest import FlexibleManifest, FrameExitManifest, Manifest, frames_part
from ...runtime.policies.base import Policy
from ...runtime.policies.cascade import Cascade


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

    def frames_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the frames looked at by a video that exits at each step, float64 ``[steps]``."""
        return self.summed(self.frames, policy)

    def macs_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the MACs of every part that runs for a video that exits at each step, float64 ``[steps]``.

        As the runtime does it: the first step has no gate, the last asks nothing, and where no policy looks at the
        answer the classifier runs at the exit only.
        """
        last = len(self.macs)
        before = [policy.needs_logits(step) and step < last for step in range(1, last + 1)]
        gated = [policy.needs_gate(step) and 1 < step < last for step in range(1, last + 1)]
        looks = np.cumsum(np.multiply(before, self.classifier_macs) + np.multiply(gated, self.gate_macs))
        at_exit = np.where(before, 0, self.classifier_macs)
        total: NDArray[np.float64] = self.summed(self.macs, policy) + looks + at_exit
        return total

    def summed(self, each: Sequence[float] | NDArray[np.float64], policy: Policy) -> NDArray[np.float64]:
        """Add up what ran until each step: of a cascade the counts that it tries, of any other policy all steps."""
        tried = [frames in policy.counts for frames in self.frames] if isinstance(policy, Cascade) else True
        return np.cumsum(np.multiply(each, tried)).astype(np.float64)


def step_costs(manifest: Manifest) -> StepCosts:
    """Return what the steps of a bundle cost."""
    if isinstance(manifest, FlexibleManifest):
        counts = manifest.frame_counts
        macs = tuple(manifest.views * manifest.parts[frames_part(count)].macs for count in counts)
        nothing = (0,) * len(counts)
        return StepCosts(counts, macs, nothing, nothing)
    assert isinstance(manifest, FrameExitManifest)
    steps, parts = range(1, manifest.frames + 1), manifest.parts
    each = parts["backbone"].macs + parts["accumulator"].macs
    gates = (parts.get(f"gate_{step:02d}") for step in steps)
    return StepCosts(
        frames=(1,) * len(steps),
        macs=(each,) * len(steps),
        gate_macs=tuple(0 if gate is None else gate.macs for gate in gates),
        classifier_macs=tuple(parts[f"classifier_{step:02d}"].macs for step in steps),
    )
