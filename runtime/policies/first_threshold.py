"""Default of FrameExit's first threshold, the confidence above which the first step exits, and its source.

The authors chose one value per data set; a bundle may record the data set that it was exported for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..bundle.manifest import Output, PolicySpec

DEFAULT = 0.95


class DatasetDefaults(NamedTuple):
    """Recommended settings of a data set for the networks that run on it.

    ``first_threshold`` is the confidence above which FrameExit's first step exits; None if there is no recommendation.
    ``output`` is what networks for it compute from logits, for an export.
    """

    name: str
    first_threshold: float | None = None
    output: Output = "softmax"


class FirstThreshold(NamedTuple):
    """The threshold, in [0, 1], and its source as named in the record of a run."""

    value: float
    source: str


def first_threshold(explicit: float | None, dataset: DatasetDefaults | None, bundle: PolicySpec) -> FirstThreshold:
    """Return the explicit value, else the value of the run's data set, else the bundle's, else vbench's default.

    A bundle records the value given at export, or the value of the data set that it was exported for.
    """
    if explicit is not None:
        return FirstThreshold(explicit, "--first-threshold")
    if dataset is not None and dataset.first_threshold is not None:
        return FirstThreshold(dataset.first_threshold, f"the data set {dataset.name}")
    if bundle.first_threshold is not None:
        source = "the bundle" if bundle.dataset is None else f"the bundle's data set {bundle.dataset}"
        return FirstThreshold(bundle.first_threshold, source)
    return FirstThreshold(DEFAULT, "vbench's default")
