"""The header of a trace, from what a run was prepared with."""

from __future__ import annotations

from ...runtime.networks.family import DatasetDefaults
from ...runtime.policies.choice import PolicyChoice
from ..trace.step_costs import step_costs
from ..trace.trace import TraceHeader
from .setup import Prepared


def trace_header(prepared: Prepared) -> TraceHeader:
    """Return the header of the trace that a run records; its default policy is that of a run that chooses none."""
    config, dataset, network = prepared.config, prepared.dataset, prepared.network
    bundle, family = network.bundle, network.family
    defaults = DatasetDefaults(dataset.name, dataset.first_threshold)
    default = family.resolve(bundle.manifest, PolicyChoice(), defaults)
    return TraceHeader(
        bundle=bundle.name,
        bundle_sha256=bundle.digest,
        family=family.name,
        engine=config.engine.engine,
        precision=config.engine.precision,
        dataset=config.data.dataset,
        metric=dataset.metric,
        classes=bundle.manifest.classes,
        costs=step_costs(family.steps(bundle.manifest)),
        paper_gmacs_per_frame=family.published_gmacs_per_step(bundle.manifest),
        default_policy=default.policy.record(),
        default_policy_sources=default.sources,
    )
