"""Built-in synthetic data sets: moving digits and motions, generated without a download."""

from __future__ import annotations

from functools import partial

from ....runtime.video.source import ArrayFrames, FrameSource
from ..base import Dataset, Video
from ..registry import SCIKIT_LEARN, GeneratedDataset
from . import digits, motion


def load() -> Dataset:
    """Return the validation videos of `digits`, with keys `digit_0000`, `digit_0001`, ...; top-1 is the metric."""
    videos = tuple(
        Video(f"digit_{index:04d}", (digits.digit_label("validation", index),), partial(_open, index))
        for index in range(digits.VALIDATION_VIDEOS)
    )
    return Dataset("demo", tuple(digits.CLASS_NAMES), videos, (), "top1")


def load_motion() -> Dataset:
    """Return the validation videos of `motion`, with keys `motion_0000`, `motion_0001`, ...; top-1 is the metric."""
    videos = tuple(
        Video(f"motion_{index:04d}", (motion.motion_label("validation", index),), partial(_open_motion, index))
        for index in range(motion.VALIDATION_VIDEOS)
    )
    return Dataset("motion", motion.CLASS_NAMES, videos, (), "top1")


def _open(index: int) -> FrameSource:
    return ArrayFrames(digits.digit_video("validation", index))


def _open_motion(index: int) -> FrameSource:
    return ArrayFrames(motion.motion_video("validation", index))


DEMO = GeneratedDataset(load, requires=(SCIKIT_LEARN,))
MOTION = GeneratedDataset(load_motion)
