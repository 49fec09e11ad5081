"""Data sets (named classes, and labeled videos in a fixed order), and the options that select one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .base import Dataset as Dataset
    from .base import LeftOut as LeftOut
    from .base import Metric as Metric
    from .base import Video as Video
    from .base import label_row as label_row
    from .options import DataOptions as DataOptions
    from .registry import DATASETS as DATASETS
    from .registry import DatasetReader as DatasetReader
    from .registry import FolderDataset as FolderDataset
    from .registry import GeneratedDataset as GeneratedDataset
    from .registry import data_folder as data_folder
    from .registry import load_dataset as load_dataset

__getattr__ = lazy_exports(
    __name__,
    base=("Dataset", "LeftOut", "Metric", "Video", "label_row"),
    options=("DataOptions",),
    registry=("DATASETS", "DatasetReader", "FolderDataset", "GeneratedDataset", "data_folder", "load_dataset"),
)
