"""SlowFast and Uniformer recognized from a checkpoint: every key must match exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.ffn3d import (
    NARROW,
    NARROW_SIZE,
    narrow,
    narrow_pixels,
    state,
)
from vbench.errors import CheckpointError
from vbench.models.checkpoint.recognize import network_of_state
from vbench.models.ffn import slowfast, uniformer
from vbench.models.ffn.base import FrameFlexible

PATH = Path("net.pyth")
# Keys whose shapes determine the size, and others.
KEYS = {
    "slowfast_ffn": (
        "s1.pathway0_stem.conv.weight",
        "head.projection.weight",
        "s3.pathway1_res1.branch2.a_bn_8.weight",
    ),
    "slowfast": ("s1.pathway1_stem.conv.weight", "s4.pathway0_res3.branch2.a.weight", "s2_fuse.bn.running_var"),
    "uniformer_ffn": ("patch_embed3.proj.weight", "blocks3.7.pos_embed.weight", "blocks1.0.adaconv_16.weight"),
    "uniformer": ("head.weight", "norm.num_batches_tracked", "blocks4.2.attn.qkv.bias"),
}
EACH_KEY = [(model, key) for model, keys in KEYS.items() for key in keys]


def refusal(content: dict[str, Tensor]) -> str:
    with pytest.raises(CheckpointError) as caught:
        network_of_state(PATH, content)
    text = str(caught.value)
    assert text.startswith("net.pyth")
    assert "\n" not in text
    assert len(text) < 600
    assert caught.value.hint
    return text


@pytest.mark.parametrize(("model", "key"), EACH_KEY)
def test_every_key_must_match(model: str, key: str) -> None:
    content = state(model)
    assert f"1 missing ({key})" in refusal({name: tensor for name, tensor in content.items() if name != key})
    wrong = torch.zeros(*(size + 1 for size in content[key].shape), 1)
    text = refusal({**content, key: wrong})
    assert f"({key} is " in text  # a head with a different number of classes affects its bias too
    assert "missing" not in text
    assert f"1 unexpected ({key}_4)" in refusal({**content, f"{key}_4": wrong})


def test_a_key_of_another_branch_in_a_plain_network() -> None:
    text = refusal({**state("slowfast"), "s1_fuse.bn_4.weight": torch.zeros(16)})
    assert "1 unexpected (s1_fuse.bn_4.weight)" in text


def test_values_and_types_are_checked() -> None:
    content = state("uniformer")
    assert "NaN or infinite values in norm.bias" in refusal({**content, "norm.bias": torch.full((512,), torch.nan)})
    assert "norm.bias is float16 [512]" in refusal({**content, "norm.bias": torch.zeros(512).half()})


@pytest.mark.parametrize("shape", [(), (0, 3, 1, 7, 7), (1 << 40, 3, 1, 7, 7)])
def test_impossible_sizes(shape: tuple[int, ...]) -> None:
    key = "s1.pathway0_stem.conv.weight"
    text = refusal({**state("slowfast"), key: torch.zeros(1).expand(shape) if shape else torch.tensor(0.0)})
    assert f"1 of a different shape or type ({key} is float32 {list(shape)}" in text


@pytest.mark.parametrize(("model", "beginning"), [("slowfast", "s3.pathway"), ("uniformer", "blocks2.")])
def test_a_stage_without_blocks(model: str, beginning: str) -> None:
    rest = {name: tensor for name, tensor in state(model).items() if not name.startswith(beginning)}
    assert f" missing ({beginning}" in refusal(rest)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("s1.pathway0_stem.conv.weight", "SlowFast's slow pathway alone"),
        ("base_model.conv1.weight", "TSM"),
        ("x", "start with x"),
    ],
)
def test_other_networks(key: str, text: str) -> None:
    assert not slowfast.RECOGNIZER.is_likely({key})
    assert not uniformer.RECOGNIZER.is_likely({key})
    assert text in refusal({key: torch.zeros(3)})


@pytest.mark.parametrize(("family", "flexible"), NARROW)
def test_other_sizes_are_derived_from_the_checkpoint(family: str, flexible: bool) -> None:
    expected = narrow(family, flexible)
    actual = network_of_state(PATH, expected.state_dict(), NARROW_SIZE)
    assert isinstance(actual, FrameFlexible)
    assert actual.architecture == family
    assert (actual.name, actual.branches, actual.classes) == (expected.name, expected.branches, 5)
    clips = narrow_pixels(family, 1)
    with torch.no_grad():
        assert torch.equal(actual(clips), expected(clips))
