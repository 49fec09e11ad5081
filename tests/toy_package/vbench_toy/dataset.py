"""Data set of videos with a constant gray level, which determines the class."""

from __future__ import annotations

from functools import partial

import numpy as np

from vbench.bench.datasets.base import Dataset, Video
from vbench.bench.datasets.registry import GeneratedDataset
from vbench.runtime.video.source import ArrayFrames, FrameSource

CLASSES = ("black", "dark", "gray", "light", "white")


def _open(level: int) -> FrameSource:
    return ArrayFrames(np.full((3, 20, 24, 3), level, np.uint8))


def make() -> Dataset:
    """Return 40 videos."""
    levels = [(37 * number) % 256 for number in range(40)]
    videos = tuple(
        Video(f"video_{number:02d}", (level * len(CLASSES) // 256,), partial(_open, level))
        for number, level in enumerate(levels)
    )
    return Dataset("levels", CLASSES, videos, (), "top1")


DATASET = GeneratedDataset(make)
