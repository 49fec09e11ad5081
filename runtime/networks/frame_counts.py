"""Family of frame-count networks: one part per frame count, each run on a complete clip.

The family covers TSM, TEA, SlowFast and Uniformer, plain or frame-flexible (FFN, Zhang et al., Frame Flexible Network,
CVPR 2023). A cascade tries a small count first and moves on to the next one while the confidence is too low; the steps
are independent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ..bundle.manifest import FlexibleManifest, frames_part
from ..engines.base import Engine
from ..inputs.base import Clip, Reader
from ..inputs.clip_input import frame_count, open_clip_input
from ..policies.base import Policy
from ..policies.cascade import Cascade, FrameCount, frame_count_policy, largest_within
from ..policies.choice import PolicyChoice
from ..policies.first_threshold import DatasetDefaults
from ..policies.rules import RunAll
from ..scheduler.options import SPECULATIVE, StreamOptions
from ..scheduler.results import ClipResult
from ..scheduler.schedules import SCHEDULES
from .base import Network
from .family import Family, ResolvedPolicy, RunVariant, StepSpec, WarmUp
from .frame_counts_program import FrameCountProgram
from .latency_profile import Latencies, LatencyProfile

_WARM_UP_CLIPS = 2
_PREPROCESS = "preprocess"


class FrameCountFamily(Family[FlexibleManifest]):
    """One part per frame count: each step reads a complete clip, independently of the others."""

    name = "frame_counts"
    manifest = FlexibleManifest
    cumulative = False

    def steps(self, manifest: FlexibleManifest) -> tuple[StepSpec, ...]:
        return tuple(
            StepSpec(count, manifest.views * manifest.parts[frames_part(count)].macs, clips=manifest.temporal_views)
            for count in manifest.frame_counts
        )

    def published_gmacs_per_step(self, manifest: FlexibleManifest) -> float | None:
        return manifest.paper_gmacs_per_frame

    def accepts(self, policy: type[Policy]) -> bool:
        return policy.selects_steps

    def resolve(
        self,
        manifest: FlexibleManifest,
        choice: PolicyChoice,
        dataset: DatasetDefaults | None = None,  # noqa: ARG002
    ) -> ResolvedPolicy:
        if choice.policy is not None:
            choice.require_only("a policy", "policy")
            policy = self._check_policy(manifest, choice.policy)
        else:
            choice.require_only(manifest.network, "frames", "cascade", "budget_ms", "remeasure")
            policy = self._policy_for(manifest, choice)
        policy.route(manifest.frame_counts)
        return ResolvedPolicy(policy, {})

    def all_steps(self, frames: Sequence[int]) -> Policy:
        return FrameCount(frames[-1])

    def parts_needed(self, manifest: FlexibleManifest, choice: PolicyChoice, policy: Policy) -> frozenset[str]:
        if choice.frames is None and choice.policy is None:
            return frozenset(manifest.parts)
        return frozenset([_PREPROCESS, *map(frames_part, self._counts(manifest, policy))])

    def check_parts(self, manifest: FlexibleManifest, policy: Policy, loaded: frozenset[str]) -> None:
        for count in self._counts(manifest, policy):
            if frames_part(count) not in loaded:
                counts = ", ".join(map(str, _loaded_counts(manifest, loaded)))
                raise UsageError(
                    f"the bundle was loaded only for {counts} frames, not for {count}",
                    "load the bundle without frames=",
                )

    def rows_per_clip(self, manifest: FlexibleManifest) -> int:
        return manifest.views

    def run_variants(self, manifest: FlexibleManifest, choice: PolicyChoice) -> tuple[RunVariant, ...]:
        if any(value is not None for value in (choice.cascade, choice.budget_ms, choice.remeasure, choice.policy)):
            return ()
        counts = manifest.frame_counts if choice.frames is None else choice.frames
        if len(counts) == 1:
            return ()
        Cascade(counts).route(manifest.frame_counts)
        return tuple(RunVariant(frames_part(count), PolicyChoice(frames=(count,))) for count in counts)

    def program(
        self, engine: Engine, manifest: FlexibleManifest, policy: Policy, options: StreamOptions
    ) -> FrameCountProgram:
        return FrameCountProgram(engine, manifest, policy, self._counts(manifest, policy), options.slots)

    def open_input(self, engine: Engine, manifest: FlexibleManifest, policy: Policy, clip: object) -> Reader:
        return open_clip_input(engine, manifest, self._counts(manifest, policy), clip)

    def check_stream(self, manifest: FlexibleManifest, options: StreamOptions) -> None:
        super().check_stream(manifest, options)
        if options.sync == SPECULATIVE:
            raise UsageError(
                f"--sync {SPECULATIVE} works only with FrameExit: {manifest.network} has no gates to wait for",
                "omit --sync",
            )
        if SCHEDULES.get(options.schedule).keeps_ended:
            others = [name for name, schedule in SCHEDULES.members().items() if not schedule.keeps_ended]
            raise UsageError(
                f"the {options.schedule} schedule works only with FrameExit: {manifest.network} does not compute "
                "rows for clips that have ended",
                f"choose one of {', '.join(others)}",
            )

    def policy_for_clip(self, network: Network, clip: Clip, frames: int | None, budget_ms: float | None) -> Policy:
        if frames is not None and budget_ms is not None:
            raise UsageError(
                f"{frames} frames cannot be combined with a budget of {budget_ms:g} ms",
                "pass either frames or budget_ms",
            )
        if budget_ms is not None:
            return self._within(self.latency_profile(network).latencies(accept_unsteady=True), budget_ms)
        count = frame_count(clip) if frames is None else frames
        return network.policy if count is None else FrameCount(count)

    def within_budget(self, network: Network, budget_ms: float, *, remeasure: bool = False) -> ResolvedPolicy:
        found = self.latency_profile(network).latencies(remeasure=remeasure)
        return ResolvedPolicy(self._within(found, budget_ms), {"budget_ms": found.text()} if found.text() else {})

    def _within(self, latencies: Latencies, budget_ms: float) -> Policy:
        return FrameCount(largest_within(latencies.bounds_ms(), budget_ms, latencies.text()))

    def latency_profile(self, network: Network) -> LatencyProfile:
        """Return a network's latency profile for the frame counts it has loaded; latencies are measured on demand."""
        manifest = network.bundle.manifest
        assert isinstance(manifest, FlexibleManifest)

        def measure_ms(count: int, clips: int) -> list[float]:
            alone = network.with_policy(FrameCount(count))
            alone.warm_up(StreamOptions())
            results = alone.stream([gray_clip(manifest, count)] * clips, StreamOptions())
            return [_latency_ms(result) for result in results]

        counts = _loaded_counts(manifest, network.parts)
        return LatencyProfile(network.bundle, network.engine, counts, measure_ms)

    def warm_up(self, network: Network) -> tuple[WarmUp, ...]:
        manifest = network.bundle.manifest
        assert isinstance(manifest, FlexibleManifest)
        return tuple(
            WarmUp(FrameCount(count), gray_clip(manifest, count), _WARM_UP_CLIPS)
            for count in self._counts(manifest, network.policy)
        )

    def describe(self, manifest: FlexibleManifest) -> tuple[tuple[str, str], ...]:
        size, crops = manifest.preprocessing.input_size, len(manifest.preprocessing.crops)
        counts = (
            f"{count} (branch {branch})" if branch else str(count)
            for count, branch in zip(manifest.frame_counts, manifest.branches)
        )
        shared = sum(file.size_bytes for file in manifest.weights.values()) / 1e6
        clips = "clips" if manifest.temporal_views == 1 else f"{manifest.temporal_views} clips"
        each = f"{crops} crop{'s' * (crops > 1)} each"
        return (
            ("input", f"{clips} of {', '.join(counts)} frames of {size} x {size}, {each}"),
            ("weights", f"{manifest.layout}, {shared:.2f} MB in one file for all frame counts"),
        )

    def _counts(self, manifest: FlexibleManifest, policy: Policy) -> tuple[int, ...]:
        return tuple(manifest.frame_counts[step - 1] for step in policy.route(manifest.frame_counts))

    def _check_policy(self, manifest: FlexibleManifest, policy: Policy) -> Policy:
        if isinstance(policy, RunAll):  # no confidence exceeds 1, so all counts run
            return frame_count_policy(manifest.frame_counts, 1.0)
        if not self.accepts(type(policy)):
            raise UsageError(
                f'{manifest.network} supports the policies "frames" and "cascade", not "{policy.kind}"',
                "pass a policy tuned for this network",
            )
        return policy

    def _policy_for(self, manifest: FlexibleManifest, choice: PolicyChoice) -> Policy:
        counts, threshold = choice.frames, choice.cascade
        if choice.budget_ms is not None and (counts is not None or threshold is not None):
            raise UsageError("--budget-ms cannot be combined with --frames or --cascade", "omit one of them")
        if choice.remeasure and choice.budget_ms is None:
            raise UsageError("--remeasure requires --budget-ms", "add --budget-ms, or omit --remeasure")
        if counts is None:
            counts = manifest.frame_counts if threshold is not None else manifest.frame_counts[-1:]
        return frame_count_policy(counts, threshold)


def _latency_ms(result: ClipResult) -> float:
    result.unwrap()  # a clip that fails is fast, so its time would be misleading
    return 1e3 * result.cost.latency_s


def gray_clip(manifest: FlexibleManifest, count: int) -> NDArray[np.uint8]:
    """Return a gray clip of ``count`` frames, uint8 ``[count, H, W, 3]``; the content does not affect the cost."""
    side = manifest.preprocessing.resize_side
    return np.full((count, side, side * 4 // 3, 3), 128, np.uint8)


def _loaded_counts(manifest: FlexibleManifest, parts: frozenset[str]) -> tuple[int, ...]:
    return tuple(count for count in manifest.frame_counts if frames_part(count) in parts)


FAMILY = FrameCountFamily()
