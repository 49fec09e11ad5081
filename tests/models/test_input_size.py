"""The input size of a network: requested, stated by the checkpoint or its record, or assumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vbench.errors import CheckpointError
from vbench.models.checkpoint.input_size import InputSize, choose_input_size, record_path
from vbench.models.checkpoint.read import read_checkpoint

DEMO = Path(__file__).parents[2] / "models" / "demo"


@pytest.mark.parametrize(
    "entries",
    [
        {"input_size": 64},
        {"img_size": [64, 64]},
        {"image_size": (3, 64, 64)},
        {"args": {"crop_size": 64, "input_size": "full"}},
        {"cfg": {"DATA": {"TEST_CROP_SIZE": 64}}},
        {"cfg": "DATA:\n  TEST_CROP_SIZE: 64\n  TRAIN_CROP_SIZE: 56\n"},
    ],
)
def test_the_checkpoint_states_the_size(tmp_path: Path, entries: dict[str, Any]) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1)}, **entries}, tmp_path / "net.pth")
    found = read_checkpoint(tmp_path / "net.pth")
    assert list(found.state) == ["w"]
    assert choose_input_size(tmp_path / "net.pth", found.entries, None) == InputSize(64, "checkpoint", 64)
    assert choose_input_size(tmp_path / "net.pth", found.entries, 96) == InputSize(96, "option", 64)


def test_a_plain_state_dict_states_the_size(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1), "input_size": 64}, tmp_path / "net.pth")
    found = read_checkpoint(tmp_path / "net.pth")
    assert list(found.state) == ["w"]
    assert found.entries == {"input_size": 64}


def test_a_record_states_the_size(tmp_path: Path) -> None:
    path = tmp_path / "net.pth.tar"
    assert choose_input_size(path, {}, None) == InputSize(None, "default")
    for text in ('{"loss": 1}', "[1]", '{"input_size": null}'):
        (tmp_path / "net.json").write_text(text, encoding="utf-8")
        assert choose_input_size(path, {}, None) == InputSize(None, "default")
    (tmp_path / "net.json").write_text('{"input_size": 64}', encoding="utf-8")
    assert choose_input_size(path, {}, None) == InputSize(64, "record", 64)
    assert choose_input_size(path, {"input_size": 64}, None).origin == "checkpoint"
    with pytest.raises(CheckpointError, match=r"states the input size 96, but .*net.json states 64; pass --input-size"):
        choose_input_size(path, {"input_size": 96}, None)
    assert choose_input_size(path, {"input_size": 96}, 80).pixels == 80


@pytest.mark.parametrize("value", ["64", 6.4, True, -1, 0, 10**9, [64], [64, 32], {"side": 64}])
def test_invalid_sizes_are_refused_unless_one_is_requested(tmp_path: Path, value: object) -> None:
    (tmp_path / "net.json").write_text(json.dumps({"input_size": value}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"net.json: input_size is .*, not a size from 32 to 4096 pixels"):
        choose_input_size(tmp_path / "net.pth", {}, None)
    assert choose_input_size(tmp_path / "net.pth", {}, 64) == InputSize(64, "option")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_damaged_records_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the checkpoint's record, is not readable as JSON"):
        choose_input_size(tmp_path / "net.pth", {}, None)


def test_the_demos_checkpoints_have_records() -> None:
    sizes = {path.stem: choose_input_size(path, {}, None) for path in DEMO.glob("*.pth")}
    assert all(record_path(DEMO / f"{name}.pth").is_file() for name in sizes)
    assert {name: size.pixels for name, size in sizes.items()} == {
        "frameexit_demo": 64,
        **dict.fromkeys(("tsm_ffn_demo", "tsm_demo_04", "tsm_demo_08", "tsm_demo_16"), 42),
    }
