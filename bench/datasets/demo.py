"""The built-in data set: digits moving through clutter, drawn on the fly: nothing to download."""

from __future__ import annotations

from functools import partial

from ...runtime.frames import ArrayFrames, FrameSource
from . import digits
from .base import Dataset, Video


def load() -> Dataset:
    """The validation videos of `digits`, with keys `digit_0000`, `digit_0001`, ...; top-1 is the metric."""
    videos = tuple(
        Video(f"digit_{index:04d}", (digits.digit_label("validation", index),), partial(_open, index))
        for index in range(digits.VALIDATION_VIDEOS)
    )
    return Dataset("demo", tuple(digits.CLASS_NAMES), videos, (), "top1", 0.95)


def _open(index: int) -> FrameSource:
    return ArrayFrames(digits.digit_video("validation", index))
