"""Data sets: their videos, labels and classes, and the options that select them.

Names are imported lazily, so that a command line can list the options without importing any reader.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Dataset, LeftOut, Metric, Video, label_row
    from .options import DataOptions
    from .registry import DATASETS, DatasetReader, FolderDataset, GeneratedDataset, data_folder, load_dataset

__all__ = [
    "Dataset",
    "LeftOut",
    "Metric",
    "Video",
    "label_row",
    "DATASETS",
    "DataOptions",
    "DatasetReader",
    "FolderDataset",
    "GeneratedDataset",
    "data_folder",
    "load_dataset",
]
_HOME = {**dict.fromkeys(__all__[:5], ".base"), **dict.fromkeys(__all__[5:], ".registry"), "DataOptions": ".options"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
