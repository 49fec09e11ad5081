"""Default for FrameExit's first threshold (the confidence above which the first step exits), and where it comes from.

The authors chose one value per data set; a bundle may record the data set that it was exported for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..bundle.manifest import Output, PolicySpec

DEFAULT = 0.95


class DatasetDefaults(NamedTuple):
    """A data set's recommended settings for the networks that run on it.

    ``first_threshold`` is the confidence above which FrameExit's first step exits; None if there is no recommendation.
    ``output`` is the function that turns logits into probabilities in networks exported for it.
    """

    name: str
    first_threshold: float | None = None
    output: Output = "softmax"


class FirstThreshold(NamedTuple):
    """The threshold, in [0, 1], and its source as named in the record of a run."""

    value: float
    source: str


def first_threshold(explicit: float | None, dataset: DatasetDefaults | None, bundle: PolicySpec) -> FirstThreshold:
    """Return the first one known: the explicit value, that of the run's data set, the bundle's, or vbench's default.

    A bundle records the value given at export, or the value for the data set that it was exported for.
    """
    if explicit is not None:
        return FirstThreshold(explicit, "--first-threshold")
    if dataset is not None and dataset.first_threshold is not None:
        return FirstThreshold(dataset.first_threshold, f"the data set {dataset.name}")
    if bundle.first_threshold is not None:
        source = "the bundle" if bundle.dataset is None else f"the bundle's data set {bundle.dataset}"
        return FirstThreshold(bundle.first_threshold, source)
    return FirstThreshold(DEFAULT, "vbench's default")
