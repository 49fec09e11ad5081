"""Build the header of a trace from the setup of a run."""

from __future__ import annotations

from ...runtime.policies.choice import PolicyChoice
from ..trace.step_costs import step_costs
from ..trace.trace import TraceHeader
from .setup import RunSetup


def trace_header(setup: RunSetup) -> TraceHeader:
    """Return the header of a run's trace; its default policy is that of a run without policy options."""
    config, dataset, network = setup.config, setup.dataset, setup.network
    bundle, family = network.bundle, network.family
    default = family.resolve(bundle.manifest, PolicyChoice(), setup.defaults)
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
        gate_sets={
            name: family.resolve(bundle.manifest, PolicyChoice(gates=name), setup.defaults).policy.record()
            for name in family.gate_sets(bundle.manifest)
        },
        output=bundle.manifest.output,
        categories=dataset.categories,
    )
