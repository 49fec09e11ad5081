"""TSM and TSM-FFN versus the original's numbers, and the exporter's assumptions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests import ffn2d
from tests.ffn2d import Load, check_logits, counts, empty_state, golden, nearest, refusal, tiny
from tests.golden.ffn2d.make_checkpoint import layout
from tests.marks import slow_except
from vbench.errors import UsageError
from vbench.export.graph.fold_batch_norm import fold_batch_norms
from vbench.models.ffn.base import Scale
from vbench.models.ffn.resnet2d import FlexibleResNetSize
from vbench.models.ffn.tsm import Tsm, shift
from vbench.models.resnet import RESNET101

MODELS = ("tsm_ffn_r50", "tsm_r50", "tsm_ffn_r18", "tsm_r18")
SIZES = (
    "base_model.conv1.weight",
    "new_fc.weight",
    *(f"base_model.layer{stage}.0.conv1.weight" for stage in (1, 2, 3, 4)),
)
NAMES = {"r50": "resnet50", "r18": "resnet18"}


@pytest.mark.parametrize(
    ("model", "frames"),
    slow_except(
        [("tsm_ffn_r50", 4), ("tsm_r50", 4), ("tsm_r18", 4), *(("tsm_ffn_r18", frames) for frames in (2, 5, 8, 12))],
        [(model, frames) for model in MODELS for frames in counts(model)],
    ),
)
def test_logits_and_activations_equal_the_originals(ffn2d_network: Load, model: str, frames: int) -> None:
    network = ffn2d_network(model)
    assert network.branch(frames) == int(golden().get(f"{model}/T{frames}/branch", 0))
    check_logits(network, model, frames)


@pytest.mark.parametrize(("frames", "branch"), [(4, 8), (8, 4), (8, 16)])
def test_another_branch_fails_the_golden_check(ffn2d_network: Load, frames: int, branch: int) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_logits(ffn2d_network("tsm_ffn_r18"), "tsm_ffn_r18", frames, branch)


def test_one_adaptation_of_another_branch_fails_the_golden_check(ffn2d_network: Load) -> None:
    given, model = ffn2d.pixels(8, 1), "tsm_ffn_r18"
    network = ffn2d_network(model)
    wrong = network.at(8)
    last = network.get_submodule("base_model.layer4.1")
    wrong.base_model.layer4[1].adaconv = Scale(last.adaconv_4.weight)
    assert np.abs(ffn2d.logits(wrong, given) - golden()[f"{model}/T8/logits"][:1]).max() > 0.02
    # Only the view changed, not the network.
    assert np.abs(ffn2d.logits(network.at(8), given) - golden()[f"{model}/T8/logits"][:1]).max() < 1e-4


@pytest.mark.parametrize("model", MODELS)
def test_the_authors_layout_is_recognized(model: str) -> None:
    state = empty_state(model)
    network = nearest(state)
    assert isinstance(network, Tsm)
    ours = {name: (list(tensor.shape), str(tensor.dtype)) for name, tensor in network.state_dict().items()}
    assert list(ours.items()) == [(name, (list(t.shape), str(t.dtype))) for name, t in state.items()]
    kinds = {name.removeprefix("module."): key["kind"] for name, key in layout(model)["keys"].items()}
    assert {name for name, _ in network.named_parameters()} == {n for n, kind in kinds.items() if kind == "parameter"}
    family, _, size = model.rpartition("_")
    assert (network.architecture, network.name) == ("tsm", f"{family}_{NAMES[size]}")
    assert network.branches == ((4, 8, 16) if "_ffn_" in model else ())
    assert (network.classes, network.input_size) == (174, 224)


@pytest.mark.parametrize("flexible", [True, False])
def test_resnet101_is_recognized(flexible: bool) -> None:
    with torch.device("meta"):
        state = Tsm(FlexibleResNetSize(RESNET101, 400, flexible)).state_dict()
    network = nearest(state)
    assert network is not None
    assert list(network.state_dict()) == list(state)
    assert (network.name, network.classes) == ("tsm_ffn_resnet101" if flexible else "tsm_resnet101", 400)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("frames", [4, 8, 16])
def test_costs_equal_the_originals(model: str, frames: int) -> None:
    network = nearest(empty_state(model))
    assert network is not None
    actual, expected = ffn2d.macs(network.at(frames), frames, 224), int(golden()[f"macs/{model}/T{frames}"])
    # The original counts its adaptation as a convolution: 0.14 %.
    assert actual == expected if "_ffn_" not in model else actual == pytest.approx(expected, rel=0.002)


def test_shift_uses_the_next_and_previous_frame_of_the_clip() -> None:
    x = (
        torch.arange(1.0, 7).view(6, 1, 1, 1).expand(6, 16, 1, 1)
    )  # two clips of three frames, filled with the frame number
    moved = shift(x, 3)[:, :, 0, 0]
    assert moved[:, :2].T.tolist() == [[2, 3, 0, 5, 6, 0]] * 2
    assert moved[:, 2:4].T.tolist() == [[0, 1, 2, 0, 4, 5]] * 2
    assert torch.equal(moved[:, 4:], x[:, 4:, 0, 0])
    assert torch.equal(shift(x, 1)[:, :4], torch.zeros(6, 4, 1, 1))


def test_the_branch_equals_the_originals_for_any_frame_count() -> None:
    network = tiny(Tsm)
    table = golden()["branch_table/T"], golden()["branch_table/branch"]
    assert [network.branch(int(frames)) for frames in table[0]] == table[1].tolist()
    assert (network.branch(64), network.branch(128), tiny(Tsm, flexible=False).branch(4)) == (16, 16, 0)


@pytest.mark.parametrize("frames", [0, -4, 129])
def test_invalid_frame_counts(frames: int) -> None:
    for network in (tiny(Tsm), tiny(Tsm, flexible=False)):
        for call in (network.branch, network.at, lambda count: network.parts((4, count))):  # noqa: B023
            with pytest.raises(UsageError, match="cannot run at"):
                call(frames)
    with pytest.raises(UsageError, match="no branch for 5"):
        tiny(Tsm).at(4, branch=5)
    for wrong in ((), (4, 4)):
        with pytest.raises(UsageError, match="frame counts"):
            tiny(Tsm).parts(wrong)


def test_part_inputs_and_outputs() -> None:
    parts = tiny(Tsm).parts((4, 8, 16, 128))
    assert [part.name for part in parts] == ["frames_04", "frames_08", "frames_16", "frames_128"]
    for part, frames in zip(parts, (4, 8, 16, 128)):
        (pixels,) = part.inputs
        assert (pixels.name, pixels.dtype, pixels.shape) == ("pixels", "float32", ("n", frames, 3, 32, 32))
        assert (part.output.name, part.output.dtype, part.output.shape) == ("logits", "float32", ("n", 5))
        assert not part.module.training


@pytest.mark.parametrize("flexible", [True, False])
def test_a_part_shares_its_tensors_and_excludes_other_branches(flexible: bool) -> None:
    network = tiny(Tsm, flexible)
    own = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    (part,) = network.parts((6,))
    for name, tensor in part.module.state_dict().items():
        if not name.endswith("adaconv.scale"):
            candidates = [
                name,
                name.replace("bn1", "bn1_8").replace("bn2", "bn2_8").replace("sample_bn", "sample_bn_8"),
            ]
            assert tensor.data_ptr() in [own[candidate] for candidate in candidates if candidate in own]
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in part.module.modules())
    assert norms == sum(isinstance(module, nn.BatchNorm2d) for module in tiny(Tsm, flexible=False).modules())


@pytest.mark.parametrize("model", ["tsm_ffn_r50", "tsm_r18"])
def test_folded_networks_match_the_originals_logits(ffn2d_network: Load, model: str) -> None:
    folded = fold_batch_norms(ffn2d_network(model).at(4))
    kinds = {type(module) for module in folded.modules()}
    assert kinds.isdisjoint({nn.BatchNorm2d, Scale})
    assert {tensor.dtype for tensor in folded.state_dict().values()} == {torch.float32}
    actual = ffn2d.logits(folded, ffn2d.pixels(4, 1))
    np.testing.assert_allclose(actual, golden()[f"{model}/T4/logits"][:1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 3])
def test_clips_of_a_batch_are_independent(frames: int) -> None:
    module, given = tiny(Tsm).at(frames), torch.randn(3, frames, 3, 32, 32, generator=torch.manual_seed(2))
    with torch.inference_mode():
        np.testing.assert_allclose(module(given), ffn2d.logits(module, given), rtol=0, atol=1e-5)
        np.testing.assert_allclose(tiny(Tsm)(given), module(given), rtol=0, atol=1e-5)


@pytest.mark.parametrize("flexible", slow_except([False], [True, False]))
def test_every_missing_key_is_named(flexible: bool) -> None:
    whole = tiny(Tsm, flexible).state_dict()
    for missing in set(whole) - set(SIZES):
        text = refusal({name: tensor for name, tensor in whole.items() if name != missing})
        assert f": 1 missing ({missing});" in text


@pytest.mark.parametrize("model", ["tsm_ffn_r18", "tsm_r50"])
@pytest.mark.parametrize("missing", SIZES)
def test_a_missing_key_that_determines_a_size_is_named(model: str, missing: str) -> None:
    state = empty_state(model)
    del state[missing]
    assert f": 1 missing ({missing});" in refusal(state)


@pytest.mark.parametrize("model", ["tsm_ffn_r18", "tsm_r50"])
def test_every_misshaped_weight_of_a_published_network_is_named(model: str) -> None:
    whole = empty_state(model)
    for name in whole:
        if name.endswith("weight") and (".0." in name or "layer" not in name):
            first, *rest = whole[name].shape
            text = refusal({**whole, name: torch.empty(first + 4, *rest, device="meta")})
            assert "1 of a different shape or type" in text
            # One of the classifier's two tensors is wrong, and it is undetermined which.
            assert name.removesuffix("weight") in text if name.startswith("new_fc") else name in text


def test_an_extra_key_is_named() -> None:
    for model in ("tsm_ffn_r18", "tsm_r50"):
        assert "1 unexpected (surplus)" in refusal({**empty_state(model), "surplus": torch.empty(1)})
    extra = {**empty_state("tsm_r18"), "base_model.layer1.0.bn1_4.weight": torch.empty(64)}
    assert "do not match tsm_resnet18: 1 unexpected (base_model.layer1.0.bn1_4.weight)" in refusal(extra)
