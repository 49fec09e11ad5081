"""FrameExit family: one frame per step, a running maximum of the features, and a gate after each step.

Ghodrati et al., FrameExit: Conditional Early Exiting for Efficient Video Recognition, CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import BundleError, UsageError
from ..bundle.manifest import CLASSIFIERS, FrameExitManifest, GateSetSpec, gates_part
from ..engines.base import Engine
from ..inputs.base import Clip, Reader
from ..inputs.frame_input import open_frame_input
from ..inputs.prefetch import Prefetcher
from ..policies.base import Policy
from ..policies.choice import PolicyChoice
from ..policies.first_threshold import DatasetDefaults, FirstThreshold, first_threshold
from ..policies.gates import FrameExitPolicy
from ..policies.rules import Fixed
from ..scheduler.options import SPECULATIVE, StreamOptions
from ..scheduler.program import StepProgram, StepRequest
from ..scheduler.schedules import SlotMove
from .base import Network
from .family import Family, RecordableState, ResolvedPolicy, StepSpec, WarmUp
from .frameexit_buffers import SlotBuffers
from .frameexit_decider import ExitDecider, GateSuffixes, PendingDecision

_WARM_UP_CLIPS = 3
_BUILD_SLOTS = 32


class FrameExitProgram(StepProgram):
    """Runs the backbone and the accumulator on each slot's next frame, then any gates and classifiers needed."""

    def __init__(self, engine: Engine, manifest: FrameExitManifest, policy: Policy, options: StreamOptions) -> None:
        self.steps, self._clip_frames = manifest.frames, manifest.clip_frames
        self.class_names, self.output = manifest.class_names, manifest.output
        self.backbone_macs = manifest.parts["backbone"].macs
        self.launch_macs = manifest.parts["accumulator"].macs
        self._engine = engine
        suffixes = _suffixes(manifest, policy)
        names = (suffixes.used, *suffixes.recorded.values())
        self._buffers = SlotBuffers(engine, manifest, options.slots, names)
        eager = options.sync == SPECULATIVE
        self._decider = ExitDecider(
            self._buffers,
            _step_specs(manifest),
            policy,
            suffixes,
            manifest.output,
            eager_classifier=eager,
        )

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
        return exit_step * self._clip_frames


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
        choice.require_only(manifest.network, "first_threshold", "gate_thresholds", "gates")
        name = manifest.default_gates if choice.gates is None else choice.gates
        first = first_threshold(choice.first_threshold, dataset, manifest.policy)
        gate, gate_source, sources = manifest.policy.gate_threshold, "the bundle", dict[str, str]()
        if name is not None:
            chosen, gate_source = _gate_set(manifest, name), f"the gate set {name}"
            gate, sources = chosen.gate_threshold, {"gate_set": "--gates" if choice.gates else "the bundle's default"}
            if choice.first_threshold is None:
                first = FirstThreshold(chosen.first_threshold, gate_source)
        given = choice.gate_thresholds
        policy = FrameExitPolicy(first.value, (gate,) if given is None else given, name)
        policy.route((1,) * manifest.frames)
        gate_source = gate_source if given is None else "--gate-threshold"
        return ResolvedPolicy(policy, {"first_threshold": first.source, "gate_thresholds": gate_source, **sources})

    def gate_sets(self, manifest: FrameExitManifest) -> tuple[str, ...]:
        return tuple(manifest.gate_sets)

    def parts_needed(self, manifest: FrameExitManifest, choice: PolicyChoice, policy: Policy) -> frozenset[str]:  # noqa: ARG002
        suffixes = _suffixes(manifest, policy)
        used = {suffixes.used, *suffixes.recorded.values()}
        unused = {gates_part(each.suffix) for each in manifest.gate_sets.values() if each.suffix not in used}
        return frozenset(manifest.parts) - unused

    def check_parts(self, manifest: FrameExitManifest, policy: Policy, loaded: frozenset[str]) -> None:
        missing = self.parts_needed(manifest, PolicyChoice(), policy) - loaded
        if missing:
            raise UsageError(
                f"the gates required by the {policy.kind} policy were not loaded ({min(missing)})",
                "load the bundle with this policy, or with gates=",
            )

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
                f"{network.bundle.manifest.network} decides for itself how many frames to read from each clip",
                "set its exit thresholds instead of frames or budget_ms",
            )
        return network.policy

    def recordable_state(self, manifest: FrameExitManifest, dataset: DatasetDefaults | None = None) -> RecordableState:
        if manifest.trunk_sha256 is None:
            raise BundleError(
                "the bundle was exported by an earlier vbench and lacks the digest that ties features to a checkpoint",
                "export it again to record features",
            )
        first = first_threshold(None, dataset, manifest.policy)
        return RecordableState(manifest.state_shape[0], manifest.trunk_sha256, first.value)

    def warm_up(self, network: Network) -> tuple[WarmUp, ...]:
        manifest = network.bundle.manifest
        assert isinstance(manifest, FrameExitManifest)
        size = manifest.preprocessing.input_size
        clip = np.full((network.steps * manifest.clip_frames, size, size, 3), 128, np.uint8)
        return (WarmUp(network.policy, clip, _WARM_UP_CLIPS),)

    def describe(self, manifest: FrameExitManifest) -> tuple[tuple[str, str], ...]:
        size, defaults = manifest.preprocessing.input_size, self.resolve(manifest, PolicyChoice()).policy
        inputs = "frames" if manifest.clip_frames == 1 else f"clips of {manifest.clip_frames} frames"
        return (
            ("input", f"{manifest.frames} {inputs} of {size} x {size} in the order {list(manifest.frame_order)}"),
            (
                "policy",
                f"exit at step 1 above confidence {defaults.threshold_at(1):g}, later above gate value "
                f"{defaults.threshold_at(2):g}",
            ),
            *_describe_sets(manifest),
        )

    def _check_policy(self, manifest: FrameExitManifest, policy: Policy) -> None:
        if policy.gate_set is not None:
            _gate_set(manifest, policy.gate_set)
        if not self.accepts(type(policy)):
            raise UsageError(f"{manifest.network} has no frame counts to choose from", "pass an early-exit policy")


def _gate_set(manifest: FrameExitManifest, name: str) -> GateSetSpec:
    """Return the gate set with this name.

    Raises:
        UsageError: the bundle has no such set.
    """
    if not manifest.gate_sets:
        raise UsageError(
            f"there is no gate set {name!r}: the bundle has a single, unnamed set of gates",
            "omit --gates (gates= in Python), or fit sets with vbench fit-gates",
        )
    if name not in manifest.gate_sets:
        raise UsageError(f"there is no gate set {name!r}", f"choose one of {', '.join(manifest.gate_sets)}")
    return manifest.gate_sets[name]


def _describe_sets(manifest: FrameExitManifest) -> tuple[tuple[str, str], ...]:
    if not manifest.gate_sets:
        return ()
    names = ", ".join(f"{name} (default)" if name == manifest.default_gates else name for name in manifest.gate_sets)
    return (("gate sets", names),)


def _suffixes(manifest: FrameExitManifest, policy: Policy) -> GateSuffixes:
    """Return the name suffixes of the gate parts that a policy uses or records."""
    used = "" if policy.gate_set is None else _gate_set(manifest, policy.gate_set).suffix
    if not policy.records_gate_sets:
        return GateSuffixes(used)
    return GateSuffixes(used, {name: each.suffix for name, each in manifest.gate_sets.items() if each.suffix != used})


def _step_specs(manifest: FrameExitManifest) -> tuple[StepSpec, ...]:
    parts = manifest.parts
    trunk = parts["backbone"].macs + parts["accumulator"].macs
    return tuple(
        StepSpec(
            frames=manifest.clip_frames,
            macs=trunk,
            gate_macs=parts[gates_part()].macs if 1 < step < manifest.frames else 0,
            classifier_macs=parts[CLASSIFIERS].macs,
        )
        for step in range(1, manifest.frames + 1)
    )


FAMILY = FrameExitFamily()
