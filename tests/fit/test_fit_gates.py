"""``vbench fit-gates`` on made-up features: its checkpoints, records and refusals."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest
import torch

from tests.in_process import in_process
from tests.networks import TINY_HEAD, save_checkpoint, tiny_network
from vbench.bench.features.features_file import FeaturesHeader, write_index
from vbench.bench.features.shards import describe_shards, write_shard
from vbench.errors import MissingError, RunError, UsageError, VbenchError
from vbench.fit.fit_gates import FitOptions, fit_checkpoint
from vbench.models.checkpoint.read import read_state_dict
from vbench.models.checkpoint.recognize import load_network

VIDEOS, STEPS = 400, TINY_HEAD.frames
BETAS = (1e-3, 0.03, 0.1)


def write_features(folder: Path, trunk: str, videos: int = VIDEOS, **changed: object) -> Path:
    """Write features whose norm reveals how easy a video is, with losses that fall with ease and step."""
    rng = np.random.default_rng(0)
    ease = rng.uniform(0, 8, (videos, 1)) + 0.5 * np.arange(STEPS)
    states = np.maximum.accumulate(rng.uniform(0, 0.2, (videos, STEPS, TINY_HEAD.hidden)) + ease[..., None] / 4, axis=1)
    for number, start in enumerate(range(0, videos, 512)):
        write_shard(folder, number, states[start : start + 512].astype(np.float16))
    header = FeaturesHeader(
        **dict.fromkeys(("bundle", "bundle_sha256", "network", "engine", "precision"), ""),  # type: ignore[arg-type]
        trunk_sha256=trunk,
        dataset="folder",
        split="training",
        loss="cross_entropy",
        classes=TINY_HEAD.classes,
        steps=STEPS,
        hidden=TINY_HEAD.hidden,
        frame_order=tuple(range(STEPS)),
        preprocessing={},
        first_threshold=0.95,
        shards=describe_shards(folder, videos),
    )
    losses = np.exp(-1.5 * ease)
    table = {
        "key": [f"video{place}" for place in range(videos)],
        "label": [[place % TINY_HEAD.classes] for place in range(videos)],
        "loss": losses.astype(np.float32).tolist(),
        "confidence": np.exp(-losses[:, 0]).astype(np.float32),
        "right": (losses < 0.7).tolist(),
    }
    columns = {**table, **{name: value for name, value in changed.items() if name in table}}
    header = replace(header, **{name: value for name, value in changed.items() if name not in table})  # type: ignore[arg-type]
    write_index(folder, header, polars.DataFrame(columns))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "tiny.pth"
    save_checkpoint(tiny_network(), path)
    return path


@pytest.fixture(scope="module")
def trunk() -> str:
    return tiny_network().trunk_sha256()


@pytest.fixture(scope="module")
def features(trunk: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("fit") / "features", trunk)


@pytest.fixture(scope="module")
def fitted(checkpoint: Path, features: Path) -> Path:
    out = features.parent / "gates"
    fit_checkpoint(checkpoint, features, out, FitOptions(BETAS, epochs=30, threads=1))
    return out


def records(folder: Path) -> list[dict[str, object]]:
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted(found, key=lambda record: record["beta"])


def test_only_the_gates_change(checkpoint: Path, fitted: Path) -> None:
    before = torch.load(checkpoint, weights_only=True)
    files = sorted(fitted.glob("*.pth"))
    assert [path.name for path in files] == ["tiny_beta1e-01.pth", "tiny_beta1e-03.pth", "tiny_beta3e-02.pth"]
    for path in files:
        after = torch.load(path, weights_only=True)
        assert list(after) == list(before)
        for name, tensor in before.items():
            assert (after[name].dtype, after[name].shape) == (tensor.dtype, tensor.shape)
            if not name.startswith("module.exit_selector."):
                assert torch.equal(after[name], tensor)
        last = [name for name in before if name.startswith("module.exit_selector.8.")]
        assert last
        assert all(torch.equal(after[name], after[name.replace("r.8.", "r.7.")]) for name in last)
        network = load_network(path)
        assert network.trunk_sha256() == tiny_network().trunk_sha256()  # type: ignore[operator]


def test_easy_videos_leave_by_the_authors_rule(fitted: Path, features: Path) -> None:
    network = load_network(fitted / "tiny_beta3e-02.pth")
    states = torch.from_numpy(np.load(features / "z_00000.npy").astype(np.float32))
    norms = states[:, 1].mean(dim=1)
    easiest, hardest = norms.topk(20).indices, (-norms).topk(20).indices
    with torch.inference_mode():
        sigmoid = network.exit_selector[0](states[:, 1], states[:, 0])[:, 0]  # type: ignore[index]
    assert (sigmoid[easiest] < 0.5).all()
    assert sigmoid[hardest].median() > 0.5


def test_the_records_describe_the_sets(fitted: Path) -> None:
    found = records(fitted)
    frames = [record["held_out"]["mean_frames"] for record in found]  # type: ignore[index]
    assert frames == sorted(frames, reverse=True)
    for record, beta in zip(found, BETAS):
        assert (record["beta"], record["fitting_videos"], record["held_out_videos"]) == (beta, 360, 40)
        assert len(record["losses"]) == 30  # type: ignore[arg-type]
        assert record["losses"][-1] < record["losses"][0]  # type: ignore[index]
        held_out = record["held_out_losses"]
        assert held_out[record["epoch"] - 1] == min(held_out)  # type: ignore[operator,index,type-var]
        assert 0 < record["first_threshold"] <= 0.95  # type: ignore[operator]
        assert sum(record["held_out"]["exits"]) == 40  # type: ignore[index]


def test_the_same_seed_gives_the_same_tensors(checkpoint: Path, features: Path, fitted: Path, tmp_path: Path) -> None:
    fit_checkpoint(checkpoint, features, tmp_path / "again", FitOptions((0.03,), epochs=30, threads=1))
    fit_checkpoint(checkpoint, features, tmp_path / "other", FitOptions((0.03,), epochs=30, threads=1, seed=1))
    name = "tiny_beta3e-02.pth"
    first, again, other = (
        read_state_dict(folder / name) for folder in (fitted, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["exit_selector.0.conv1.weight"], other["exit_selector.0.conv1.weight"])


@pytest.mark.parametrize("room", [0, 1000, 100_000])
def test_a_full_disk_is_one_error_and_leaves_nothing(
    checkpoint: Path, features: Path, tmp_path: Path, room: int
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(MissingError, match="no space left on the disk"):
            fit_checkpoint(checkpoint, features, tmp_path / "gates", FitOptions((0.03,), epochs=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_constant_labels_give_gates_without_weights(checkpoint: Path, features: Path, tmp_path: Path) -> None:
    (none, every) = fit_checkpoint(checkpoint, features, tmp_path / "gates", FitOptions((1e-30, 1e30), epochs=1))
    for found, bias, steps in ((none, 10, [1, 10]), (every, -10, [1, 2])):
        state = read_state_dict(tmp_path / "gates" / found.checkpoint.name)
        assert (state["exit_selector.3.linear.weight"] == 0).all()
        assert state["exit_selector.3.linear.bias"].item() == bias
        assert found.record["epoch"] == 0
        exits = found.record["held_out"]["exits"]
        assert [step for step, count in enumerate(exits, start=1) if count] == steps


def test_batched_gates_equal_the_authors_modules(features: Path) -> None:
    from vbench.fit.gates import GateTargets, StackedGates, new_gates

    gates = new_gates(tiny_network().fittable_gates(), 3)
    stacked = StackedGates(gates, GateTargets(torch.full((8,), 0.5)))
    states = torch.from_numpy(np.load(features / "z_00000.npy")[:64].astype(np.float32))
    for gate in gates:
        torch.nn.init.zeros_(gate.linear.bias)
        gate.train()
    expected = [gate.logit(states[:, t], states[:, t - 1])[:, 0] for t, gate in enumerate(gates, start=1)]
    z = states.transpose(0, 1)
    torch.testing.assert_close(stacked(z[1:-1], z[:-2]), torch.stack(expected), atol=1e-4, rtol=1e-4)
    for gate, found in zip(gates, stacked.gate_states(1)):
        for name in ("bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"):
            torch.testing.assert_close(found[name], gate.state_dict()[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trunk_sha256": "0" * 64}, "holds features of a checkpoint other than"),
        ({"split": "validation"}, "holds the validation videos of folder, which results are reported on"),
        ({"videos": 100}, "has 100 labeled videos, too few to fit gates on; record at least 160"),
        ({"label": [[]] * VIDEOS}, "has 0 labeled videos"),
        ({"label": [[3]] * VIDEOS}, "the labeled videos are all of class 3"),
        ({"label": [[7]] * VIDEOS}, "video video0 has class 7, but there are only 5 classes"),
        ({"loss": [[float("nan")] * STEPS] * VIDEOS}, "a loss of video video0 is not finite"),
    ],
)
def test_unusable_features_are_rejected(
    checkpoint: Path, trunk: str, tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    folder = write_features(tmp_path / "features", **{"trunk": trunk, **changed})  # type: ignore[arg-type]
    with pytest.raises(RunError, match=message):
        fit_checkpoint(checkpoint, folder, tmp_path / "gates", FitOptions(BETAS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FitOptions((0.0,)), "--beta must be a number > 0"),
        (FitOptions((1e-3, 0.001)), "lists a number twice"),
        (FitOptions((1e-3,), points=3), "--points and --beta both determine the betas"),
    ],
)
def test_invalid_options_are_rejected(
    checkpoint: Path, features: Path, tmp_path: Path, options: FitOptions, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        fit_checkpoint(checkpoint, features, tmp_path / "gates", options)


def test_an_interrupted_fit_leaves_nothing(checkpoint: Path, features: Path, tmp_path: Path) -> None:
    def stop(_name: str, epoch: int, _total: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_checkpoint(checkpoint, features, tmp_path / "gates", FitOptions(BETAS), stop)
    assert not list(tmp_path.iterdir())


def test_another_network_is_rejected(features: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    with pytest.raises(VbenchError):
        fit_checkpoint(other, features, tmp_path / "gates", FitOptions(BETAS))


def test_a_network_without_gates_is_rejected(
    flexible_checkpoint: Callable[[str], Path], features: Path, tmp_path: Path
) -> None:
    with pytest.raises(VbenchError, match="has no gates to fit; pass a FrameExit checkpoint"):
        fit_checkpoint(flexible_checkpoint("tsm"), features, tmp_path / "gates", FitOptions(BETAS))


def test_two_shards_and_default_betas(checkpoint: Path, trunk: str, tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", trunk, 600)
    found = fit_checkpoint(checkpoint, folder, tmp_path / "gates", FitOptions(points=2, epochs=1))
    assert [each.record["fitting_videos"] for each in found] == [540, 540]


def test_the_command_prints_the_sets(
    checkpoint: Path,
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    vbench = in_process(monkeypatch, capsys)
    options = ("fit-gates", checkpoint, features, "-o", tmp_path / "gates", "--epochs", 1, "--threads", 1)
    ended = vbench(*map(str, options), "--beta", "0.03", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["gate_sets"][0]["name"] == "beta_3e-02"
    ended = vbench(*map(str, options), "--beta", "0.03")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "already exists" in ended.err
    ended = vbench(*map(str, options), "--beta", "many")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
