"""TEA and TEA-FFN versus the original's numbers, and the exporter's assumptions; shared tests are in test_tsm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests import ffn2d
from tests.ffn2d import Load, authors_file, check_logits, counts, empty_state, golden, nearest, refusal, tiny
from tests.marks import slow_except
from vbench.errors import CheckpointError
from vbench.export.graph import count_macs
from vbench.export.graph.fold_batch_norm import fold_batch_norms
from vbench.export.graph.torch_to_onnx import trace_parts
from vbench.models.checkpoint.recognize import load_network
from vbench.models.ffn.tea import Tea
from vbench.models.ffn.tsm import Tsm

MODELS = ("tea_ffn_r50", "tea_r50")
KINDS = [(kind, flexible) for kind in (Tsm, Tea) for flexible in (True, False)]


@pytest.mark.parametrize(
    ("model", "frames"),
    slow_except(
        [("tea_ffn_r50", 4), ("tea_ffn_r50", 5), ("tea_r50", 4)],
        [(model, frames) for model in MODELS for frames in counts(model)],
    ),
)
def test_logits_and_activations_equal_the_originals(ffn2d_network: Load, model: str, frames: int) -> None:
    network = ffn2d_network(model)
    assert network.branch(frames) == int(golden().get(f"{model}/T{frames}/branch", 0))
    check_logits(network, model, frames)


@pytest.mark.parametrize("branch", [8, 16])
def test_another_branch_fails_the_golden_check(ffn2d_network: Load, branch: int) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_logits(ffn2d_network("tea_ffn_r50"), "tea_ffn_r50", 4, branch)


@pytest.mark.parametrize("model", MODELS)
def test_the_authors_layout_is_recognized(model: str) -> None:
    state = empty_state(model)
    network = nearest(state)
    assert isinstance(network, Tea)
    ours = {name: (list(tensor.shape), str(tensor.dtype)) for name, tensor in network.state_dict().items()}
    assert list(ours.items()) == [(name, (list(t.shape), str(t.dtype))) for name, t in state.items()]
    assert (network.architecture, network.name) == ("tea", model.replace("r50", "resnet50"))
    assert network.branches == ((4, 8, 16) if "_ffn_" in model else ())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("frames", slow_except([4], [4, 8, 16]))
def test_costs_equal_the_originals(model: str, frames: int) -> None:
    network = nearest(empty_state(model))
    assert network is not None
    assert ffn2d.macs(network.at(frames), frames, 224) == int(golden()[f"macs/{model}/T{frames}"])


def test_a_folded_network_matches_the_originals_logits(ffn2d_network: Load) -> None:
    folded = fold_batch_norms(ffn2d_network("tea_ffn_r50").at(4))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    actual = ffn2d.logits(folded, ffn2d.pixels(4, 1))
    np.testing.assert_allclose(actual, golden()["tea_ffn_r50/T4/logits"][:1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 3])
def test_clips_of_a_batch_are_independent(frames: int) -> None:
    module, given = tiny(Tea).at(frames), torch.randn(3, frames, 3, 32, 32, generator=torch.manual_seed(2))
    with torch.inference_mode():
        np.testing.assert_allclose(module(given), ffn2d.logits(module, given), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "flexible", "frames"),
    slow_except([(Tsm, False, 4)], [(k, f, t) for k, f in KINDS for t in (4, 6) if f or (k, t) == (Tsm, 4)]),
)
def test_exported_parts_match_torch(kind: type[Tsm] | type[Tea], flexible: bool, frames: int) -> None:
    (part,) = tiny(kind, flexible).parts((frames,))
    graph = trace_parts([part])[part.name]
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        given = torch.randn(batch, frames, 3, 32, 32, generator=torch.manual_seed(batch))
        with torch.inference_mode():
            expected = part.module(given).numpy()
        assert np.ptp(expected) > 0.1
        (actual,) = session.run(None, {"pixels": given.numpy()})
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    # Only the batch size depends on the batch, and every computing node is counted.
    assert {node.op_type for node in graph.graph.node}.isdisjoint({"Shape", "Gather", "Expand", "BatchNormalization"})
    assert count_macs.macs(graph) == ffn2d.macs(part.module, frames, 32)


@pytest.mark.parametrize("model", slow_except(["tea_r50"], MODELS))
def test_missing_keys_are_named(model: str) -> None:
    whole = empty_state(model)
    chosen = [name for name in whole if "layer2.0" in name or "layer" not in name]
    for missing in chosen[:: len(chosen) // 20]:
        text = refusal({name: tensor for name, tensor in whole.items() if name != missing})
        assert f": 1 missing ({missing});" in text


@pytest.mark.parametrize("layer", ["me.conv1", "convs.0", "shifts.3.conv", "conv3", "bns_4.2", "downsample_conv"])
def test_a_misshaped_weight_is_named(layer: str) -> None:
    state = empty_state("tea_ffn_r50")
    name = f"base_model.layer2.0.{layer}.weight"
    state[name] = torch.empty(state[name].shape[0] + 4, *state[name].shape[1:], device="meta")
    text = refusal(state)
    assert "1 of a different shape or type" in text
    assert name in text


@pytest.mark.parametrize("shape", [(), (1,), (1, 104, 1, 1), (0, 104, 1, 1), (256, 104, 1)])
def test_a_weight_of_an_impossible_shape_is_named(shape: tuple[int, ...]) -> None:
    name = "base_model.layer1.0.conv3.weight"
    assert name in refusal({**empty_state("tea_ffn_r50"), name: torch.empty(shape, device="meta")})


@pytest.mark.parametrize(("kind", "flexible"), KINDS)
def test_the_authors_file_loads(tmp_path: Path, kind: type[Tsm] | type[Tea], flexible: bool) -> None:
    network = tiny(kind, flexible)
    path = authors_file(network.state_dict(), tmp_path / "ckpt.best.pth.tar")
    loaded = load_network(path, 32)
    assert isinstance(loaded, kind)
    assert (loaded.name, loaded.input_size, loaded.training) == (network.name, 32, False)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_a_missing_or_extra_key_in_the_file_is_named(tmp_path: Path) -> None:
    state = dict(tiny(Tea).state_dict())
    bias = state.pop("base_model.layer3.0.bns_16.1.bias")
    path = authors_file({**state, "base_model.layer3.0.bns_32.1.bias": bias}, tmp_path / "ckpt.pth.tar")
    with pytest.raises(CheckpointError, match=r"1 missing \(.*bns_16.1.bias\); 1 unexpected \(.*bns_32.1.bias\)"):
        load_network(path)
    path = authors_file({**state, "base_model.layer3.0.bns_16.1.bias": bias * float("nan")}, path)
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in .*bns_16.1.bias"):
        load_network(path)
