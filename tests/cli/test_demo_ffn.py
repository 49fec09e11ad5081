"""The demo's frame-flexible and plain networks match their record."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.train import flexible as train_flexible
from vbench.bench.datasets.synthetic import motion
from vbench.models.checkpoint.recognize import load_network
from vbench.models.ffn.tsm import Tsm

DEMO = Path(__file__).parents[2] / "models" / "demo"
NAMES = ("tsm_ffn_demo", "tsm_demo_04", "tsm_demo_08", "tsm_demo_16")
TRAINED_COUNTS = (*((NAMES[0], count) for count in (4, 8, 16)), *zip(NAMES[1:], (4, 8, 16)))


@pytest.fixture(scope="module")
def record():
    return json.loads((DEMO / "tsm_demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def networks(record) -> dict[str, Tsm]:
    loaded = {name: load_network(DEMO / f"{name}.pth", input_size=record["input_size"]) for name in NAMES}
    return {name: network.to(memory_format=torch.channels_last) for name, network in loaded.items()}


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_are_small_and_use_the_authors_layout(networks: dict[str, Tsm], name: str) -> None:
    path = DEMO / f"{name}.pth"
    content = torch.load(path, weights_only=True)
    assert path.stat().st_size < 1_500_000
    assert list(content) == ["epoch", "arch", "state_dict"]
    assert list(content["state_dict"]) == [f"module.{key}" for key in networks[name].state_dict()]
    assert networks[name].branches == ((4, 8, 16) if name == "tsm_ffn_demo" else ())


def test_accuracy_matches_the_record(networks: dict[str, Tsm], record) -> None:
    # Only half of the videos: a proportion over 200 may deviate by four standard deviations.
    right = collections.Counter()
    for start in range(0, record["validation_videos"], 100):
        videos = [motion.motion_video("validation", index) for index in range(start, start + 50)]
        for name, count in TRAINED_COUNTS:
            right[name, count] += int(train_flexible.right_answers(networks[name], videos, count, start).sum())
    for name, count in TRAINED_COUNTS:
        recorded = record["top1"][name][str(count)]
        assert abs(right[name, count] / 200 - recorded) < 4 * (recorded * (1 - recorded) / 200) ** 0.5, (name, count)
    assert right["tsm_ffn_demo", 16] > right["tsm_ffn_demo", 4] + 50


def test_more_frames_are_better_and_one_network_serves_all_counts(record) -> None:
    flexible, plain = record["top1"]["tsm_ffn_demo"], record["top1"]["tsm_demo_16"]
    assert flexible["4"] < flexible["8"] < flexible["16"]
    for count in ("4", "8", "16"):
        assert flexible[count] > record["top1"][f"tsm_demo_{int(count):02d}"][count] - 0.02
    assert plain["4"] < flexible["4"] - 0.05
    assert plain["8"] < flexible["8"] - 0.03


def test_class_names_match_the_videos() -> None:
    names = (DEMO / "motion_classes.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(names) == motion.CLASS_NAMES


@pytest.mark.parametrize(("length", "count"), [(32, 4), (47, 16), (33, 8)])
def test_training_takes_one_frame_of_each_segment(length: int, count: int) -> None:
    rng = train_flexible.PortableRandom(3)
    drawn = np.array([train_flexible.random_positions(length, count, rng) for _ in range(500)])
    firsts = np.arange(count + 1) * length // count
    assert (drawn.min(0) == firsts[:-1]).all()
    assert (drawn.max(0) == firsts[1:] - 1).all()


def test_training_reaches_every_tensor() -> None:
    learner = train_flexible.Learner(None, train_flexible.QUICK)
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    videos = [motion.motion_video("training", index) for index in range(4)]
    rng = train_flexible.PortableRandom(1)
    clips = {count: train_flexible.training_clips(videos, count, rng) for count in (4, 8, 16)}
    learner.learn(clips, torch.arange(4))
    same = [name for name, tensor in learner.network.state_dict().items() if torch.equal(before[name], tensor)]
    assert same == []


def test_training_and_inference_networks_agree(networks: dict[str, Tsm]) -> None:
    network = networks["tsm_ffn_demo"]
    clips = train_flexible.pixels([motion.motion_video("validation", 5)[:8]])
    with torch.inference_mode():
        torch.testing.assert_close(network.trainable_at(8).eval()(clips), network.at(8)(clips))


def test_training_is_deterministic(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        for name in ("one", "two"):
            train_flexible.main(["--quick", "--out", str(tmp_path / name)])
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
    for name in NAMES:
        one, two = (load_network(tmp_path / out / f"{name}.pth", 42).state_dict() for out in ("one", "two"))
        assert all(torch.equal(one[key], two[key]) for key in one)
