"""Build the header of recorded features from the setup of a run."""

from __future__ import annotations

from ...errors import UsageError
from ..features.features_file import FeaturesHeader
from ..features.losses import BINARY_CROSS_ENTROPY, CROSS_ENTROPY
from .setup import RunSetup
from .trace_header import trace_header


def features_header(setup: RunSetup) -> FeaturesHeader:
    """Return the header of a run's features, with no shards yet.

    Raises:
        UsageError: the network has no gates, or the split of the videos is not known or contradicts the data set's.
        BundleError: the bundle does not identify the tensors that compute the features.
    """
    manifest, family = setup.network.bundle.manifest, setup.network.family
    tags = manifest.output == "sigmoid"
    state, trace = family.recordable_state(manifest, setup.defaults), trace_header(setup)
    return FeaturesHeader(
        bundle=trace.bundle,
        bundle_sha256=trace.bundle_sha256,
        network=manifest.network,
        trunk_sha256=state.trunk_sha256,
        engine=trace.engine,
        precision=trace.precision,
        dataset=trace.dataset,
        split=_split(setup),
        loss=BINARY_CROSS_ENTROPY if tags else CROSS_ENTROPY,
        classes=trace.classes,
        steps=len(trace.costs.macs),
        hidden=state.hidden,
        frame_order=family.reading_order(manifest),
        preprocessing=manifest.preprocessing.model_dump(mode="json"),
        first_threshold=state.first_threshold,
        class_names=manifest.class_names,
        categories=trace.categories if tags else None,
    )


def _split(setup: RunSetup) -> str:
    dataset, given = setup.dataset, setup.config.split
    if dataset.split is None and given is None:
        raise UsageError(
            f"the split of the data set {dataset.name} is unknown, and gates must not be evaluated on the split "
            "that they were fitted to",
            "name it: --split training",
        )
    if None not in (dataset.split, given) and dataset.split != given:
        raise UsageError(
            f"--split {given} contradicts the data set {dataset.name}, whose split is {dataset.split}",
            "omit --split",
        )
    return str(given or dataset.split)
