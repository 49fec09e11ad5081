"""Packed gate sets: unpacking restores the checkpoints, and the demo's sets belong to its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.networks import save_checkpoint, tiny_network
from tests.replay import DEMO
from vbench.errors import UsageError
from vbench.export.gate_sets import read_gate_sets
from vbench.files import sha256
from vbench.fit.packed import pack_gate_sets, unpack_gate_sets
from vbench.models.checkpoint.read import read_state_dict


def test_unpacking_restores_what_was_packed(tmp_path: Path) -> None:
    trunk, folder = tmp_path / "net.pth", tmp_path / "sets"
    save_checkpoint(tiny_network(), trunk)
    folder.mkdir()
    network = tiny_network()
    torch.nn.init.ones_(network.exit_selector[2].linear.weight)  # type: ignore[union-attr,arg-type]
    save_checkpoint(network, folder / "net_beta1e-03.pth")
    (folder / "net_beta1e-03.json").write_text('{"name": "beta_1e-03"}')
    pack_gate_sets(folder, tmp_path / "packed")
    packed = torch.load(tmp_path / "packed" / "net_beta1e-03.pth", weights_only=True)
    assert {name.split(".")[1] for name in packed} == {"exit_selector"}
    unpack_gate_sets(trunk, tmp_path / "packed", tmp_path / "unpacked")
    before, after = (
        torch.load(tmp_path / name / "net_beta1e-03.pth", weights_only=True) for name in ("sets", "unpacked")
    )
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (tmp_path / "unpacked" / "net_beta1e-03.json").read_text() == '{"name": "beta_1e-03"}'
    with pytest.raises(UsageError, match="already exists"):
        unpack_gate_sets(trunk, tmp_path / "packed", tmp_path / "unpacked")


def test_the_demo_ships_sets_of_its_checkpoint(tmp_path: Path) -> None:
    packed = DEMO / "frameexit_demo_gates"
    assert sum(path.stat().st_size for path in packed.iterdir()) < 1_200_000
    unpack_gate_sets(DEMO / "frameexit_demo.pth", packed, tmp_path / "gates")
    default = tmp_path / "gates" / "frameexit_demo_beta1e-03.pth"
    sets = read_gate_sets(tmp_path / "gates", sha256(default), tmp_path, "softmax")
    assert [each.name for each in sets] == [f"beta_1e-0{digit}" for digit in (5, 4, 3, 2, 1)]
    own, shipped = read_state_dict(DEMO / "frameexit_demo.pth"), read_state_dict(default)
    assert all(torch.equal(own[name], shipped[name]) for name in own)
    for each in sets:
        record = json.loads(each.checkpoint.with_suffix(".json").read_text())
        assert record["features"] == {"dataset": "demo_gates", "split": "gates", "loss": "cross_entropy"}
        assert record["fitting_videos"] + record["held_out_videos"] == 3000
