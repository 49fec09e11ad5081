"""Source of FrameExit's first threshold, for records that do not name it."""

from __future__ import annotations

from ...runtime.policies.first_threshold import DEFAULT
from ..datasets import DATASETS


def first_threshold_source(dataset: str, value: float) -> str:
    """Return the source of the default threshold ``value`` of a run over ``dataset``.

    Data sets without a recommended threshold used vbench's default.
    """
    recommended = dataset in DATASETS and DATASETS.get(dataset).first_threshold is not None
    return "vbench's default" if value == DEFAULT and not recommended else f"the data set {dataset}"
