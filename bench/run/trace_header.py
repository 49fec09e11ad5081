"""What a trace is recorded on, from what a run was prepared with."""

from __future__ import annotations

from typing import Any

from ...runtime.bundle.manifest import FlexibleManifest, FrameExitManifest
from ...runtime.policies.base import frameexit_policy
from ...runtime.policies.cascade import Cascade
from ..trace.step_costs import step_costs
from ..trace.trace import TraceHeader
from .setup import Prepared


def trace_header(prepared: Prepared, paper_gmacs_per_frame: float | None) -> TraceHeader:
    """Return the header of the trace that a run records."""
    config, bundle = prepared.config, prepared.network.bundle
    return TraceHeader(
        bundle=bundle.name,
        bundle_sha256=bundle.digest,
        family=bundle.manifest.family,
        engine=config.engine,
        precision=config.precision,
        dataset=config.dataset,
        metric=prepared.dataset.metric,
        classes=bundle.manifest.classes,
        costs=step_costs(bundle.manifest),
        paper_gmacs_per_frame=paper_gmacs_per_frame,
        default_policy=_default_policy(prepared),
    )


def _default_policy(prepared: Prepared) -> dict[str, Any]:
    """Return the record of what a run obeys that is told nothing."""
    manifest = prepared.network.bundle.manifest
    if isinstance(manifest, FlexibleManifest):
        return Cascade(manifest.frame_counts[-1:]).record()
    assert isinstance(manifest, FrameExitManifest)
    return frameexit_policy(prepared.dataset.first_threshold, manifest.policy.gate_threshold).record()
