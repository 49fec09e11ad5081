"""The demo: videos are identical on every machine, and the shipped network matches its record."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.train import frameexit as train_frameexit
from vbench.bench.datasets import load_dataset
from vbench.bench.datasets.synthetic import digits
from vbench.errors import UsageError
from vbench.models.checkpoint.recognize import load_network
from vbench.models.frameexit.network import FrameExit
from vbench.models.preprocess.shorter_side import Preprocess

DEMO = Path(__file__).parents[3] / "models" / "demo"


@pytest.fixture(scope="module")
def record():
    return json.loads((DEMO / "frameexit_demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def network(record) -> FrameExit:
    return load_network(DEMO / "frameexit_demo.pth", input_size=record["input_size"])


@pytest.mark.parametrize(
    ("split", "index", "sha256"),
    [
        ("validation", 0, "6ab2646ca60426a0685119368c123d137fe7d91994dd34a1577615530820a55f"),
        ("validation", 399, "d76c50701fd62fe172ab8b04266ce3349be2e068ab79774ea0cdc0c6c0fe4227"),
        ("training", 12345, "6e53e55a5c832716004fdaebe05f4266f40a2462004454bc9a7d24a478d94766"),
        ("gates", 0, "d0263461e031eb63b20e291b29d3106bf46cfeba9517d48c6ff8c8d3fe86c129"),
        ("test", 1999, "a7018b00e2c04b12efc5cbcc1d603de6c5ffa2e50f7d4694e9307ff51af4d1f8"),
    ],
)
def test_videos_are_the_same_on_every_machine(split, index, sha256):
    assert hashlib.sha256(digits.digit_video(split, index).tobytes()).hexdigest() == sha256


def test_videos_are_rgb_frames_of_ten_equally_frequent_classes():
    video = digits.digit_video("validation", 7)
    assert video.shape == (10, 64, 64, 3)
    assert video.dtype == np.uint8
    labels = [digits.digit_label("validation", index) for index in range(digits.VALIDATION_VIDEOS)]
    assert np.bincount(labels).tolist() == [digits.VALIDATION_VIDEOS // 10] * 10
    assert len(digits.CLASS_NAMES) == 10


def test_no_digit_is_both_for_training_and_for_validation():
    training, validation = (
        {cells.tobytes() for cells in itertools.chain.from_iterable(digits._digits(split))}
        for split in ("training", "validation")
    )
    assert not training & validation
    assert len(training) + len(validation) == 1797
    test = {cells.tobytes() for cells in itertools.chain.from_iterable(digits._digits("test"))}
    assert not training & test


def test_splits_share_no_video():
    first = {split: digits.digit_video(split, 0).tobytes() for split in digits.SIZES}
    assert len(set(first.values())) == 4


@pytest.mark.parametrize(
    ("name", "split", "videos", "key"),
    [
        ("demo", "validation", 400, "digit_0000"),
        ("demo_gates", "gates", 3000, "digit_gates_0000"),
        ("demo_test", "test", 2000, "digit_test_0000"),
        ("motion_test", "test", 400, "motion_test_0000"),
    ],
)
def test_data_sets_name_their_split(name, split, videos, key):
    dataset = load_dataset(name, None)
    assert (dataset.name, dataset.split, len(dataset.videos), dataset.videos[0].key) == (name, split, videos, key)


@pytest.mark.parametrize(("split", "index"), [("other", 0), ("validation", -1), ("validation", 400)])
def test_invalid_splits_and_indices(split, index):
    with pytest.raises(UsageError):
        digits.digit_video(split, index)


def test_checkpoint_is_small_and_in_the_authors_layout(network):
    path = DEMO / "frameexit_demo.pth"
    state = torch.load(path, weights_only=True)
    assert path.stat().st_size <= 4_000_000
    assert list(state) == [f"module.{name}" for name in network.state_dict()]


@pytest.mark.slow
def test_record_agrees_with_a_plain_loop_over_all_validation_videos(network, record):
    steps, right = zip(*(authors_loop(network, index, record) for index in range(record["validation_videos"])))
    assert np.mean(right) == pytest.approx(record["top1"], abs=0.005)
    assert np.mean(steps) == pytest.approx(record["mean_exit_step"], abs=0.05)
    histogram = np.bincount(steps, minlength=11)[1:]
    assert np.abs(histogram - record["exit_histogram"]).sum() <= 4


@torch.inference_mode()
def authors_loop(network: FrameExit, index: int, record) -> tuple[int, bool]:
    """Run one video frame by frame as in the authors' evaluation; return its exit step and correctness."""
    frames = torch.from_numpy(digits.digit_video("validation", index))
    label, state = digits.digit_label("validation", index), None
    for t, place in enumerate(network.frame_order):
        pixels = Preprocess(record["input_size"])(frames[place : place + 1])
        features = network.mlp(network.backbone(pixels).flatten(1))
        previous, state = state, features if state is None else torch.maximum(features, state)
        if t == 0:
            leave = network.classifiers[0](state).softmax(1).max() > record["first_threshold"]
        else:
            leave = t == 9 or network.exit_selector[t - 1](state, previous) < record["gate_threshold"]
        if leave:
            return t + 1, int(network.classifiers[t](state).argmax()) == label
    raise AssertionError("the last step always leaves")


def test_early_exits_save_compute(record):
    assert record["top1"] >= record["top1_all_frames"] - 0.015
    assert record["top1_per_step"][0] < record["top1_all_frames"] - 0.25
    assert 2.5 <= record["mean_exit_step"] <= 5.5
    assert min(record["exit_histogram"]) > 0
    means = [point["mean_frames"] for point in record["sweep"]]
    assert means == sorted(means)


@pytest.mark.slow
def test_training_twice_gives_the_same_tensors(tmp_path):
    threads = torch.get_num_threads()
    try:
        for name in ("one.pth", "two.pth"):
            train_frameexit.main(["--quick", "--out", str(tmp_path / name)])
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pth", "two.pth"))
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    load_network(tmp_path / "one.pth", input_size=digits.SIZE)
