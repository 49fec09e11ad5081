"""The source of FrameExit's first threshold in records that name none."""

from __future__ import annotations

from ...runtime.policies.first_threshold import DEFAULT
from ..datasets import DATASETS


def first_threshold_source(dataset: str, value: float) -> str:
    """Return the source of the default that was taken for a run over ``dataset``, as a record of a run names it.

    Before records named it, a data set without a recommendation of its authors had vbench's default.
    """
    recommended = dataset in DATASETS and DATASETS.get(dataset).first_threshold is not None
    return "vbench's default" if value == DEFAULT and not recommended else f"the data set {dataset}"
