"""Motion videos: identical on every machine, and no single frame identifies the class."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from vbench.bench.datasets import load_dataset
from vbench.bench.datasets.synthetic import motion
from vbench.bench.datasets.synthetic.portable_random import PortableRandom
from vbench.errors import UsageError

CLASSES = len(motion.CLASS_NAMES)


@pytest.mark.parametrize(
    ("split", "index", "sha256"),
    [
        ("validation", 0, "1b9cbb6406311b42f8a30f53c35d75ab0b06e560baffbceea0cc5455f97f6430"),
        ("validation", 399, "d2775554f61035bb3a60801d8335ea0e6eb35f7aa304134766c050ba18a7d476"),
        ("training", 12345, "a5f28a8078e64f022644262f70689b610d0164edbdc734176d38d1e08cec3f6e"),
        ("test", 7, "ebe4191e6fc2a0298ae97d4b4b7b4fbfa05c1e09adce4693c5ba0596ee34c43b"),
    ],
)
def test_videos_are_the_same_on_every_machine(split: motion.Split, index: int, sha256: str) -> None:
    assert hashlib.sha256(motion.motion_video(split, index).tobytes()).hexdigest() == sha256


def test_videos_are_rgb_frames_and_differ_in_length() -> None:
    videos = [motion.motion_video("validation", index) for index in range(40)]
    assert {(video.dtype, video.shape[1:]) for video in videos} == {(np.dtype(np.uint8), (48, 48, 3))}
    lengths = {len(video) for video in videos}
    assert len(lengths) > 8
    assert min(lengths) >= motion.FRAMES[0]
    assert max(lengths) <= motion.FRAMES[1]


def test_classes_are_equally_frequent() -> None:
    labels = [motion.motion_label("validation", index) for index in range(motion.VALIDATION_VIDEOS)]
    assert np.bincount(labels).tolist() == [motion.VALIDATION_VIDEOS // CLASSES] * CLASSES


def test_a_single_frame_has_the_same_distribution_in_every_class() -> None:
    # Position and size of the blob in a middle frame, over many videos: all classes share mean and deviation.
    drawn = np.array([[single_frame(name, seed) for seed in range(1500)] for name in motion.CLASS_NAMES])
    for values, (low, high) in zip(drawn.transpose(2, 0, 1), ((0, 47), (0, 47), motion._BLOB)):
        assert (values.min(), values.max()) == (low, high)
        assert np.ptp(values.mean(axis=1)) < 0.12 * (high - low)
        assert np.ptp(values.std(axis=1)) < 0.06 * (high - low)


def single_frame(name: str, seed: int) -> tuple[int, int, int]:
    path = motion._path(PortableRandom(seed), 32, name)
    return int(path.y[16]) % motion.SIZE, int(path.x[16]) % motion.SIZE, int(path.side[16])


def test_a_motion_backwards_is_that_of_the_opposite_class() -> None:
    for forward, backward in (("right", "left"), ("down", "up"), ("growing", "shrinking")):
        one, other = (steps(motion._path(PortableRandom(5), 40, name)) for name in (forward, backward))
        assert np.abs(one + other).max() <= 1
        assert np.abs(one).sum() > 10


def steps(path: motion._Path) -> NDArray[np.int64]:
    """Return frame-to-frame changes of y, x and side, except where the side wraps around."""
    changes = np.diff(np.stack(path), axis=1)
    changes[:, np.abs(changes[2]) > 2] = 0
    return changes.sum(axis=1)


@pytest.mark.parametrize(("split", "index"), [("other", 0), ("validation", -1), ("validation", 400)])
def test_invalid_splits_and_indices(split: motion.Split, index: int) -> None:
    with pytest.raises(UsageError):
        motion.motion_video(split, index)
    with pytest.raises(UsageError):
        motion.motion_label(split, index)


def test_data_set_by_name() -> None:
    dataset = load_dataset("motion")
    assert (dataset.name, dataset.metric, dataset.left_out) == ("motion", "top1", ())
    assert [video.key for video in dataset.videos[:2]] == ["motion_0000", "motion_0001"]
    assert (len(dataset.videos), dataset.videos[13].classes) == (400, (3,))
    source = dataset.videos[3].open()
    first = motion.motion_video("validation", 3)
    assert len(source) == len(first)
