"""Damaged, foreign and hostile checkpoints: each gives a one-line error that names the cause."""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vbench.errors import CheckpointError
from vbench.models.checkpoint.read import read_state_dict
from vbench.models.checkpoint.recognize import load_network
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.models.resnet import ResNetSize, resnet_trunk

SIZE = ResNetSize("basic", (1, 1, 1, 1), (4, 4, 8, 8), stem_width=4, stem_kernel=7, expansion=1)
HEAD = HeadSize(hidden=12, gate_widths=(6, 5), classes=3, frames=4)
State = dict[str, Tensor]


def tiny_state(prefix: str = "module.") -> State:
    torch.manual_seed(0)
    trunk = resnet_trunk(SIZE)
    network = FrameExit(trunk, SIZE.features, HEAD, name="tiny", input_size=32, paper_gmacs_per_frame=None)
    return {prefix + name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.pth"


def save(content: object, path: Path, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    assert caught.value.hint
    assert text.startswith(str(path))
    assert caught.value.exit_code == 2
    return text


@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("legacy", [False, True])
def test_both_formats_and_both_prefixes_load_equal(path: Path, prefix: str, legacy: bool) -> None:
    actual = read_state_dict(save(tiny_state(prefix), path, legacy=legacy))
    expected = tiny_state("")
    assert list(actual) == list(expected)
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    network = load_network(path)
    assert network.head == HEAD
    assert not network.training
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_a_prefix_on_some_keys_only_is_kept(path: Path) -> None:
    state = tiny_state("")
    state["module.mlp.layers.0.bias"] = state.pop("mlp.layers.0.bias")
    text = refusal(save(state, path))
    assert "missing (mlp.layers.0.bias)" in text
    assert "unexpected (module.mlp.layers.0.bias)" in text


def test_no_such_file(path: Path) -> None:
    assert "is not a file" in refusal(path)


def test_a_folder(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path)


def test_an_empty_file(path: Path) -> None:
    path.touch()
    assert " is empty; " in refusal(path)


@pytest.mark.parametrize(
    "content", [b"not a checkpoint\n", b"<html><body>404</body></html>", b"hello", bytes(64), b"PK\x03\x04"]
)
def test_a_file_of_another_kind(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "is not a PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file(path: Path, legacy: bool) -> None:
    whole = save(tiny_state(), path, legacy=legacy).read_bytes()
    for length in {1, 2, 10, 100, *(len(whole) * k // 16 for k in range(1, 16)), len(whole) - 100, len(whole) - 1}:
        path.write_bytes(whole[:length])
        assert "damaged" in refusal(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_flipped_bytes_give_a_network_or_one_line(path: Path, legacy: bool) -> None:
    whole = save(tiny_state(), path, legacy=legacy).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 80)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        # A flip in padding or in a legacy file's numbers is undetectable; any other must give a one-line error.
        with suppress(CheckpointError):
            load_network(path)


class RunsCode:
    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("function", "name"), [(os.system, "posix.system"), (eval, "eval"), (os.mkdir, "posix.mkdir")])
def test_code_is_rejected_by_name_and_never_run(
    path: Path, function: Callable[..., Any], name: str, legacy: bool
) -> None:
    trace = path.with_name("ran")
    argument = {"posix.system": f"touch {trace}", "eval": f"open({str(trace)!r}, 'w')"}.get(name, str(trace))
    save({**tiny_state(), "bad": RunsCode(function, argument)}, path, legacy=legacy)
    text = refusal(path)
    assert f"tries to run code ({name})" in text
    assert not trace.exists()


def test_code_in_a_bare_pickle_is_never_run(path: Path) -> None:
    trace = path.with_name("ran")
    path.write_bytes(pickle.dumps(RunsCode(os.system, f"touch {trace}")))
    refusal(path)
    assert not trace.exists()


def test_a_pickled_module_is_rejected(path: Path) -> None:
    assert "torch.nn.modules.linear.Linear" in refusal(save(torch.nn.Linear(2, 2), path))


def training_file(lr: object) -> dict[str, object]:
    """A checkpoint in the layout of FFN's training scripts."""
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": lr, "params": [0]}]}
    curves = {"epoch": 3, "arch": "resnet50", "best_prec1": 12.5, "val_acc_top1": [0.5, 1.0]}
    return {**curves, "state_dict": tiny_state(), "optimizer": optimizer}


@pytest.mark.parametrize("spelling", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_weights_of_a_training_checkpoint(path: Path, spelling: bytes) -> None:
    # A legacy file can be rewritten: no checksum, no lengths around the name.
    save(training_file(np.float64(0.01) ** 2), path, legacy=True)
    path.write_bytes(re.sub(rb"numpy\._?core\.multiarray", spelling, path.read_bytes()))
    assert spelling in path.read_bytes()
    actual, expected = read_state_dict(path), tiny_state("")
    assert list(actual) == list(expected)
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert load_network(save(training_file(np.float64(0.01)), path)).head == HEAD


def test_a_training_checkpoint_is_read_without_calling_numpy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(training_file(np.float64(0.01)), path)
    before = set(torch.serialization.get_safe_globals())
    scalar = np.float64(0).__reduce__()[0]
    monkeypatch.delattr(sys.modules[scalar.__module__], "scalar")
    assert len(read_state_dict(path)) == len(tiny_state())
    assert set(torch.serialization.get_safe_globals()) == before  # torch gives them in any order


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (np.load, ("x.npy",), "numpy.load"),
        (np.fromfile, ("x.npy",), "numpy.fromfile"),
        (np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), "multiarray._reconstruct"),
        (os.system, ("true",), "posix.system"),
    ],
)
def test_other_numpy_objects_in_the_optimizer_are_rejected(
    path: Path, function: Callable[..., Any], arguments: tuple[object, ...], name: str
) -> None:
    text = refusal(save(training_file(RunsCode(function, *arguments)), path))
    assert "tries to run code" in text
    assert name in text


@pytest.mark.parametrize("weights", [[torch.zeros(1)], {}, {"epoch": 3}, 7])
def test_a_training_checkpoint_without_weights(path: Path, weights: object) -> None:
    assert "does not hold a state dict" in refusal(save({"epoch": 3, "state_dict": weights}, path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.zeros(1)], "holds an object of type list"),
        (torch.zeros(3), "holds an object of type Tensor"),
        (7, "holds an object of type int"),
        ({}, "does not hold a state dict (it is empty)"),
        ({"epoch": 3}, "'epoch' has type int"),
        ({"mlp.layers.0.weight": torch.zeros(2, 2), "lr": 0.1}, "'lr' has type float"),
    ],
)
def test_content_other_than_a_state_dict(path: Path, content: object, words: str) -> None:
    assert words in refusal(save(content, path))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight"], "looks like a plain torchvision ResNet"),
        (["module.base_model.conv1.weight", "module.new_fc.weight"], "looks like a TSM"),
        (["features.0.0.weight", "classifier.1.weight"], "looks like a plain torchvision EfficientNet"),
        (["some.weight", "other.weight"], "not a FrameExit checkpoint, because mlp.layers.0.weight is missing"),
    ],
)
def test_other_networks_are_named(path: Path, names: list[str], words: str) -> None:
    assert words in refusal(save({name: torch.zeros(1) for name in names}, path))


@pytest.mark.parametrize(
    "name",
    [
        "backbone.0.weight",
        "backbone.4.0.conv1.weight",
        "backbone.7.0.bn2.running_var",
        "mlp.layers.0.weight",
        "exit_selector.0.conv2.weight",
        "exit_selector.2.linear.bias",
        "classifiers.0.weight",
        "classifiers.3.bias",
    ],
)
def test_one_missing_key_is_named(path: Path, name: str) -> None:
    state = tiny_state()
    del state[f"module.{name}"]
    text = refusal(save(state, path))
    assert "missing" in text
    assert name in text


def test_one_extra_key_is_named(path: Path) -> None:
    assert "1 unexpected (surplus)" in refusal(save({**tiny_state(), "module.surplus": torch.zeros(1)}, path))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp.layers.0.bias", (11,)),
        ("mlp.layers.0.weight", ()),
        ("classifiers.2.weight", (5, 12)),
        ("classifiers.0.weight", ()),
        ("backbone.0.weight", ()),
        ("backbone.5.0.conv1.weight", (8,)),
        ("exit_selector.1.linear.weight", (1, 9)),
        ("exit_selector.0.conv1.weight", ()),
        ("backbone.4.0.conv1.weight", (0, 4, 3, 3)),
        ("mlp.layers.0.weight", (0, 8)),
    ],
)
def test_one_misshaped_tensor_is_named(path: Path, name: str, shape: tuple[int, ...]) -> None:
    assert name in refusal(save({**tiny_state(), f"module.{name}": torch.zeros(shape)}, path))


def test_half_precision_is_rejected(path: Path) -> None:
    state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tiny_state().items()}
    assert "backbone.0.weight is float16 [4, 3, 7, 7] but should be float32" in refusal(save(state, path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(path: Path, value: float) -> None:
    state = tiny_state()
    state["module.classifiers.1.weight"][0, 0] = value
    assert "NaN or infinite values in classifiers.1.weight" in refusal(save(state, path))


def test_many_problems_give_a_short_error(path: Path) -> None:
    state = {name: tensor for name, tensor in tiny_state().items() if not name.endswith("bias")}
    assert ", ...)" in refusal(save(state, path))


@pytest.mark.parametrize("odd", [torch.eye(12, 8).to_sparse(), torch.zeros(12, 8, device="meta")])
def test_tensors_without_plain_storage_are_rejected(path: Path, odd: Tensor) -> None:
    refusal(save({**tiny_state(), "module.mlp.layers.0.weight": odd}, path))


def test_a_name_with_a_line_break_stays_on_one_line(path: Path) -> None:
    assert r"new\nline" in refusal(save({**tiny_state(), "module.new\nline": torch.zeros(1)}, path))
