"""Built-in synthetic data sets: moving digits and motions, generated without a download."""

from __future__ import annotations

from functools import partial

from ....runtime.video.source import ArrayFrames, FrameSource
from ..base import VALIDATION, Dataset, Video
from ..registry import SCIKIT_LEARN, GeneratedDataset
from . import digits, motion


def load(split: digits.Split = "validation") -> Dataset:
    """Return the videos of a split of `digits`; the metric is top-1.

    Their keys are `digit_0000`, `digit_0001`, ... in the validation split; other splits add their name, as in
    `digit_test_0000`.
    """
    stem = "digit" if split == VALIDATION else f"digit_{split}"
    videos = tuple(
        Video(f"{stem}_{index:04d}", (digits.digit_label(split, index),), partial(_open, split, index))
        for index in range(digits.SIZES[split])
    )
    return Dataset(_name("demo", split), tuple(digits.CLASS_NAMES), videos, (), "top1", split=split)


def load_motion(split: motion.Split = "validation") -> Dataset:
    """Return the videos of a split of `motion`, with keys like those of `load`; the metric is top-1."""
    stem = "motion" if split == VALIDATION else f"motion_{split}"
    videos = tuple(
        Video(f"{stem}_{index:04d}", (motion.motion_label(split, index),), partial(_open_motion, split, index))
        for index in range(motion.SIZES[split])
    )
    return Dataset(_name("motion", split), motion.CLASS_NAMES, videos, (), "top1", split=split)


def _name(dataset: str, split: str) -> str:
    return dataset if split == VALIDATION else f"{dataset}_{split}"


def _open(split: digits.Split, index: int) -> FrameSource:
    return ArrayFrames(digits.digit_video(split, index))


def _open_motion(split: motion.Split, index: int) -> FrameSource:
    return ArrayFrames(motion.motion_video(split, index))


DEMO = GeneratedDataset(load, requires=(SCIKIT_LEARN,))
DEMO_GATES = GeneratedDataset(partial(load, "gates"), requires=(SCIKIT_LEARN,))
DEMO_TEST = GeneratedDataset(partial(load, "test"), requires=(SCIKIT_LEARN,))
MOTION = GeneratedDataset(load_motion)
MOTION_TEST = GeneratedDataset(partial(load_motion, "test"))
