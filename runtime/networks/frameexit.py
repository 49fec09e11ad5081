"""FrameExit family: one frame per step, a running maximum of features, and a gate after each step.

Ghodrati et al., FrameExit: Conditional Early Exiting for Efficient Video Recognition, CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import UsageError
from ..bundle.manifest import FrameExitManifest
from ..engines.base import Engine
from ..inputs.base import Clip, Reader
from ..inputs.frame_input import open_frame_input
from ..inputs.prefetch import Prefetcher
from ..policies.base import Policy
from ..policies.choice import PolicyChoice
from ..policies.first_threshold import DatasetDefaults, first_threshold
from ..policies.gates import FrameExitPolicy
from ..policies.rules import Fixed
from ..scheduler.options import SPECULATIVE, StreamOptions
from ..scheduler.program import StepProgram, StepRequest
from ..scheduler.schedules import SlotMove
from .base import Network
from .family import Family, ResolvedPolicy, StepSpec, WarmUp
from .frameexit_buffers import SlotBuffers, classifier_part, gate_part
from .frameexit_decider import ExitDecider, PendingDecision

_WARM_UP_CLIPS = 3
_BUILD_SLOTS = 32


class FrameExitProgram(StepProgram):
    """Runs the backbone and the accumulator on every slot's next frame, then the gates and classifiers needed."""

    def __init__(self, engine: Engine, manifest: FrameExitManifest, policy: Policy, options: StreamOptions) -> None:
        self.steps = manifest.frames
        self.class_names = manifest.class_names
        self.backbone_macs = manifest.parts["backbone"].macs
        self.launch_macs = manifest.parts["accumulator"].macs
        self._engine = engine
        self._buffers = SlotBuffers(engine, manifest, options.slots)
        eager = options.sync == SPECULATIVE
        self._decider = ExitDecider(self._buffers, _step_specs(manifest), policy, eager_classifier=eager)

    def begin(self, slot: int) -> None:
        self._buffers.begin(slot)

    def move(self, move: SlotMove, *, loaded: bool) -> None:
        self._buffers.move(move, pixels=loaded)

    def load(self, slot: int, step: int, source: Prefetcher) -> None:
        source.pixels(step, self._engine, self._buffers.pixels(slot))

    def backbone(self, rows: Sequence[StepRequest]) -> None:
        self._buffers.backbone(len(rows))

    def launch(self, requests: Sequence[StepRequest], rows: int) -> PendingDecision:
        self._buffers.accumulate(rows)
        return self._decider.launch(requests)

    def frames_used(self, exit_step: int) -> int:
        return exit_step


class FrameExitFamily(Family[FrameExitManifest]):
    """Step + gate: each step reads one frame and builds on the state of the previous step."""

    name = "frameexit"
    manifest = FrameExitManifest
    cumulative = True

    def steps(self, manifest: FrameExitManifest) -> tuple[StepSpec, ...]:
        return _step_specs(manifest)

    def published_gmacs_per_step(self, manifest: FrameExitManifest) -> float | None:
        return manifest.paper_gmacs_per_frame

    def reading_order(self, manifest: FrameExitManifest) -> tuple[int, ...]:
        return manifest.frame_order

    def accepts(self, policy: type[Policy]) -> bool:
        return not policy.selects_steps

    def resolve(
        self, manifest: FrameExitManifest, choice: PolicyChoice, dataset: DatasetDefaults | None = None
    ) -> ResolvedPolicy:
        if choice.policy is not None:
            choice.require_only("a policy", "policy")
            self._check_policy(manifest, choice.policy)
            choice.policy.route((1,) * manifest.frames)
            return ResolvedPolicy(choice.policy, {})
        choice.require_only(manifest.network, "first_threshold", "gate_thresholds")
        first = first_threshold(choice.first_threshold, dataset, manifest.policy)
        given = choice.gate_thresholds
        gates = (manifest.policy.gate_threshold,) if given is None else given
        policy = FrameExitPolicy(first.value, gates)
        policy.route((1,) * manifest.frames)
        gate_source = "the bundle" if given is None else "--gate-threshold"
        return ResolvedPolicy(policy, {"first_threshold": first.source, "gate_thresholds": gate_source})

    def all_steps(self, frames: Sequence[int]) -> Policy:
        return Fixed(len(frames))

    def default_slots(self) -> int:
        return _BUILD_SLOTS

    def program(
        self, engine: Engine, manifest: FrameExitManifest, policy: Policy, options: StreamOptions
    ) -> FrameExitProgram:
        return FrameExitProgram(engine, manifest, policy, options)

    def open_input(self, engine: Engine, manifest: FrameExitManifest, policy: Policy, clip: object) -> Reader:  # noqa: ARG002
        return open_frame_input(engine, manifest, clip)

    def policy_for_clip(self, network: Network, clip: Clip, frames: int | None, budget_ms: float | None) -> Policy:  # noqa: ARG002
        if frames is not None or budget_ms is not None:
            raise UsageError(
                f"{network.bundle.manifest.network} chooses the number of frames for each clip itself",
                "set its exit thresholds instead of frames or budget_ms",
            )
        return network.policy

    def warm_up(self, network: Network) -> tuple[WarmUp, ...]:
        manifest = network.bundle.manifest
        size = manifest.preprocessing.input_size
        clip = np.full((network.steps, size, size, 3), 128, np.uint8)
        return (WarmUp(network.policy, clip, _WARM_UP_CLIPS),)

    def describe(self, manifest: FrameExitManifest) -> tuple[tuple[str, str], ...]:
        size, first = manifest.preprocessing.input_size, first_threshold(None, None, manifest.policy)
        return (
            ("input", f"{manifest.frames} frames of {size} x {size} in the order {list(manifest.frame_order)}"),
            (
                "policy",
                f"exit at step 1 above confidence {first.value:g}, later above gate value "
                f"{manifest.policy.gate_threshold:g}",
            ),
        )

    def _check_policy(self, manifest: FrameExitManifest, policy: Policy) -> None:
        if not self.accepts(type(policy)):
            raise UsageError(f"{manifest.network} has no frame counts to choose from", "pass an early-exit policy")


def _step_specs(manifest: FrameExitManifest) -> tuple[StepSpec, ...]:
    parts = manifest.parts
    trunk = parts["backbone"].macs + parts["accumulator"].macs
    return tuple(
        StepSpec(
            frames=1,
            macs=trunk,
            gate_macs=parts[gate_part(step)].macs if gate_part(step) in parts else 0,
            classifier_macs=parts[classifier_part(step)].macs,
        )
        for step in range(1, manifest.frames + 1)
    )


FAMILY = FrameExitFamily()
