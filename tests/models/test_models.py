"""Networks: sizes derived from checkpoints, names, frame order, preprocessing and gate polarity."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.networks import B3_STAGES, b3_size
from vbench.errors import CheckpointError
from vbench.models.checkpoint.recognize import load_network
from vbench.models.frameexit.efficientnet import EfficientNetSize, StageSize, efficientnet_size, efficientnet_trunk
from vbench.models.frameexit.frame_order import frame_order
from vbench.models.frameexit.heads import ExitValue, Gate, Heads
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.models.frameexit.recognize import network_of
from vbench.models.preprocess.shorter_side import MEAN, STD, Preprocess, resized_shape
from vbench.models.resnet import resnet_size, resnet_trunk

GOLDEN = Path(__file__).parents[1] / "golden"
Shapes = dict[str, torch.Size]


def golden_shapes() -> Shapes:
    """Names and shapes of the authors' ResNet-50 checkpoint, with ``module.``."""
    tensors = json.loads((GOLDEN / "state_dict.json").read_text())["tensors"]
    return {name: torch.Size(entry["shape"]) for name, entry in tensors.items()}


def unwrapped(shapes: Shapes) -> Shapes:
    return {name.removeprefix("module."): shape for name, shape in shapes.items()}


def resnet18_shapes(classes: int, frames: int) -> Shapes:
    """The ResNet-18 variant, derived from torchvision's layout independently of the code under test."""
    shapes: Shapes = {"backbone.0.weight": torch.Size((64, 3, 7, 7)), "backbone.1.weight": torch.Size((64,))}
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512), start=4):
        for block in range(2):
            shapes[f"backbone.{stage}.{block}.conv1.weight"] = torch.Size((width, inputs, 3, 3))
            shapes[f"backbone.{stage}.{block}.conv2.weight"] = torch.Size((width, width, 3, 3))
            inputs = width
    shapes["mlp.layers.0.weight"] = torch.Size((4096, 512))
    shapes["exit_selector.0.conv1.weight"] = torch.Size((128, 4096, 1, 1))
    shapes["exit_selector.0.conv2.weight"] = torch.Size((64, 128, 1, 1))
    shapes |= {f"classifiers.{step}.weight": torch.Size((classes, 4096)) for step in range(frames)}
    return shapes


def test_resnet50_has_the_names_order_shapes_and_types_of_the_original() -> None:
    shapes = golden_shapes()
    with torch.device("meta"):
        network = network_of(unwrapped(shapes), None)
    state = network.state_dict()
    assert [f"module.{name}" for name in state] == list(shapes)
    assert [tensor.shape for tensor in state.values()] == list(shapes.values())
    entries = json.loads((GOLDEN / "state_dict.json").read_text())["tensors"].values()
    assert [str(t.dtype) for t in state.values()] == [f"torch.{entry['dtype']}" for entry in entries]
    assert network.name == "frameexit_resnet50"
    assert network.head == HeadSize(hidden=4096, gate_widths=(128, 64), classes=200, frames=10)
    assert (network.input_size, network.paper_gmacs_per_frame) == (224, 4.12)
    assert sum(tensor.numel() for tensor in state.values()) == 44_966_433


@pytest.mark.parametrize(("classes", "frames"), [(200, 10), (5, 4), (3, 2)])
def test_resnet18_sizes(classes: int, frames: int) -> None:
    with torch.device("meta"):
        network = network_of(resnet18_shapes(classes, frames), 112)
    assert network.name == "frameexit_resnet18"
    assert network.head == HeadSize(4096, (128, 64), classes, frames)
    assert (network.input_size, network.paper_gmacs_per_frame) == (112, None)
    actual = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: actual[name] for name in resnet18_shapes(classes, frames)} == resnet18_shapes(classes, frames)


def test_the_resnet_trunk_strides_where_torchvision_does() -> None:
    with torch.device("meta"):
        trunk = resnet_trunk(resnet_size(unwrapped(golden_shapes()), "backbone."))
    for stage, stride in ((4, 1), (5, 2), (6, 2), (7, 2)):
        block: Any = next(trunk[stage].children())
        assert [block.conv1.stride[0], block.conv2.stride[0], block.downsample[0].stride[0]] == [1, stride, stride]
    assert {m.eps for m in trunk.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}
    macs = multiply_accumulates(trunk, 224)
    assert macs == pytest.approx(4.0871e9, rel=1e-4)


def test_parts_omit_the_unused_gate() -> None:
    with torch.device("meta"):
        network = network_of(unwrapped(golden_shapes()), None)
    names = [part.name for part in network.parts()]
    assert names == ["preprocess", "backbone", "accumulator", "gates", "classifiers"]
    gates = network.parts_by_name(["gates"])["gates"].module
    assert isinstance(gates, Heads)
    assert [step.gate for step in gates.by_step] == list(network.exit_selector[:8])


def test_frame_order_of_ten_is_the_authors() -> None:
    assert frame_order(10) == (5, 0, 9, 2, 7, 4, 6, 3, 8, 1)


@given(st.integers(1, 200))
def test_frame_order_is_a_permutation_from_coarse_to_fine(frames: int) -> None:
    order = frame_order(frames)
    assert sorted(order) == list(range(frames))
    assert order[:3] == tuple(dict.fromkeys((frames // 2, 0, frames - 1)))[:3]


@pytest.mark.parametrize(("frames", "order"), [(4, (2, 0, 3, 1)), (8, (4, 0, 7, 2, 5, 1, 3, 6))])
def test_frame_order_of_other_counts(frames: int, order: tuple[int, ...]) -> None:
    assert frame_order(frames) == order


def slow_axis(length: int, size: int) -> list[tuple[int, int, float]]:
    taps = []
    for place in range(size):
        source = max(0.0, (place + 0.5) * length / size - 0.5)
        low = min(math.floor(source), length - 1)
        taps.append((low, min(low + 1, length - 1), source - low))
    return taps


def slow_preprocess(frame: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Reference preprocessing of the original in float64, axis by axis."""
    x = frame.astype(np.float64) / 255
    height, width = x.shape[:2]
    if min(height, width) != size:
        new_height = int(size * height / width) if width < height else size
        new_width = size if width < height else int(size * width / height)
        x = np.stack([x[a] * (1 - f) + x[b] * f for a, b, f in slow_axis(height, new_height)])
        x = np.stack([x[:, a] * (1 - f) + x[:, b] * f for a, b, f in slow_axis(width, new_width)], axis=1)
    top, left = (round((side - size) / 2.0) for side in x.shape[:2])
    x = x[top : top + size, left : left + size]
    normalized: NDArray[np.float64] = ((x - np.array(MEAN)) / np.array(STD)).transpose(2, 0, 1)
    return normalized


SIZES = [
    *((227, 171), (171, 227), (224, 224), (224, 297), (224, 299), (299, 224), (256, 320), (350, 467), (480, 270)),
    *((17, 23), (1, 1), (3, 100), (224, 225), (225, 224), (223, 223), (720, 1280)),
]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_preprocessing_equals_a_slow_reference(height: int, width: int) -> None:
    frames = np.random.default_rng(height * 10007 + width).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    got = Preprocess(224)(torch.from_numpy(frames)).numpy()
    assert got.shape == (2, 3, 224, 224)
    assert got.dtype == np.float32
    for frame, pixels in zip(frames, got):
        # float32 computes the taps of long axes less accurately; a step of 1/255 is 0.017 after normalization.
        np.testing.assert_allclose(pixels, slow_preprocess(frame, 224), atol=3e-4)


@pytest.mark.parametrize(("width", "left"), [(297, 36), (299, 38), (298, 37), (225, 0), (227, 2)])
def test_crop_offsets_round_half_to_even(width: int, left: int) -> None:
    columns = np.arange(width, dtype=np.uint16).clip(0, 255).astype(np.uint8)
    frame = np.broadcast_to(columns[None, :, None], (224, width, 3)).copy()
    pixels = Preprocess(224)(torch.from_numpy(frame[None]))
    first = pixels[0, 0, 0, 0].item() * STD[0] + MEAN[0]
    assert round(first * 255) == left


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([112, 224, 300]))
def test_resized_sides_are_truncated_as_in_the_original(height: int, width: int, size: int) -> None:
    expected = (int(size * height / width), size) if width < height else (size, int(size * width / height))
    assert resized_shape(height, width, size) == expected


def gate_values(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the authors' sigmoid and our exit value for gates that give exactly ``logits``."""

    class Fixed(Gate):
        def logit(self, state: Tensor, previous: Tensor) -> Tensor:
            return torch.maximum(state, previous)

    gate = Fixed(2, (2, 2)).eval()
    return gate(logits[:, None], logits[:, None]), ExitValue(gate)(logits[:, None], logits[:, None])


def test_exit_value_above_one_half_exactly_where_the_sigmoid_is_below() -> None:
    fine = np.linspace(-1e-6, 1e-6, 20001, dtype=np.float32)
    steps = np.arange(-3000, 3001, dtype=np.float32) * np.float32(2**-149)
    wide = np.linspace(-120, 120, 24001, dtype=np.float32)
    logits = torch.from_numpy(
        np.concatenate([fine, steps, wide, np.array([0.0, -0.0, np.inf, -np.inf, np.nan], np.float32)])
    )
    sigmoid, value = gate_values(logits)
    assert torch.equal(value > 0.5, sigmoid < 0.5)
    assert not bool(value[-1] > 0.5)
    assert bool((value > 0.5).any())
    assert bool((value <= 0.5).any())


def test_the_polarity_holds_for_every_sigmoid_near_one_half_but_one() -> None:
    # 1 - s is halfway between two float32 values if s is the largest one below 0.5. torch's sigmoid never returns that
    # value: it divides 1 by a number near 2, where float32 is coarser.
    half = np.float32(0.5).view(np.uint32)
    near = torch.from_numpy((np.arange(-100_000, 100_001) + half).astype(np.uint32).view(np.float32))
    assert near[(1 - near > 0.5) != (near < 0.5)].tolist() == [0.5 - 2**-25]
    sigmoid, _ = gate_values(torch.linspace(-1e-6, 1e-6, 500_001))
    assert not bool((sigmoid == 0.5 - 2**-25).any())


def tiny_efficientnet() -> EfficientNetSize:
    stages, inputs = [], 4
    for _, kernel, _, expansion in B3_STAGES:
        stages.append(StageSize(4, kernel, 1, (inputs * expansion,), (2,)))
    return EfficientNetSize(4, tuple(stages), 6)


def multiply_accumulates(module: nn.Module, side: int) -> int:
    """Count convolutions and linear layers for one image, on the meta device, with hooks."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += output.numel() * layer.weight[0].numel()

    for layer in module.modules():
        layer.register_forward_hook(count)
    module.eval()(torch.zeros(1, 3, side, side, device="meta"))
    return total


def test_b3_has_torchvisions_names_shapes_and_counts() -> None:
    with torch.device("meta"):
        trunk = efficientnet_trunk(b3_size())
    shapes = {f"features.{name.removeprefix('0.')}": tuple(t.shape) for name, t in trunk.state_dict().items()}
    assert len(shapes) == 572
    assert sum(p.numel() for p in trunk.parameters()) == 10_696_232
    known = {
        "features.0.0.weight": (40, 3, 3, 3),
        "features.0.1.running_var": (40,),
        "features.1.0.block.0.0.weight": (40, 1, 3, 3),
        "features.1.0.block.1.fc1.weight": (10, 40, 1, 1),
        "features.1.0.block.2.0.weight": (24, 40, 1, 1),
        "features.1.1.block.1.fc1.weight": (6, 24, 1, 1),
        "features.2.0.block.0.0.weight": (144, 24, 1, 1),
        "features.2.0.block.2.fc2.bias": (144,),
        "features.3.0.block.1.0.weight": (192, 1, 5, 5),
        "features.6.5.block.3.1.weight": (232,),
        "features.7.1.block.1.0.weight": (2304, 1, 3, 3),
        "features.7.1.block.2.fc1.weight": (96, 2304, 1, 1),
        "features.8.0.weight": (1536, 384, 1, 1),
        "features.8.1.num_batches_tracked": (),
    }
    assert {name: shapes.get(name) for name in known} == known


# Measured with two other implementations: efficientnet_pytorch (published.md, caveat 3) and timm.
@pytest.mark.parametrize(("side", "gmacs"), [(224, 0.963), (300, 1.827)])
def test_b3_cost_matches_other_implementations(side: int, gmacs: float) -> None:
    with torch.device("meta"):
        trunk = efficientnet_trunk(b3_size())
    assert multiply_accumulates(trunk, side) / 1e9 == pytest.approx(gmacs, rel=0.02)


@pytest.mark.parametrize("size", [b3_size(), tiny_efficientnet()])
def test_efficientnet_size_round_trip(size: EfficientNetSize) -> None:
    with torch.device("meta"):
        shapes = {f"net.{name}": t.shape for name, t in efficientnet_trunk(size).state_dict().items()}
    assert efficientnet_size(shapes, "net.") == size


def test_b3_is_recognized_by_name_with_300_pixels() -> None:
    assert b3_size().name == "efficientnet_b3"
    head = HeadSize(16, (6, 5), 3, 4)
    with torch.device("meta"):
        state = FrameExit(
            efficientnet_trunk(b3_size()), 1536, head, name="", input_size=1, paper_gmacs_per_frame=None
        ).state_dict()
        network = network_of({name: tensor.shape for name, tensor in state.items()}, None)
    assert (network.name, network.input_size, network.head) == ("frameexit_efficientnet_b3", 300, head)
    assert network.paper_gmacs_per_frame == 1.8


@pytest.mark.parametrize("name", ["backbone.0.", "backbone.features."])
def test_a_checkpoint_with_an_efficientnet_backbone_loads_under_both_names(tmp_path: Path, name: str) -> None:
    size = tiny_efficientnet()
    torch.manual_seed(1)
    head = HeadSize(8, (6, 5), 3, 4)
    network = FrameExit(efficientnet_trunk(size), 6, head, name="", input_size=64, paper_gmacs_per_frame=None).eval()
    state = {f"module.{key}".replace("backbone.0.", name): t for key, t in network.state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    loaded = load_network(tmp_path / "net.pth", 64)
    pixels = torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded.backbone(pixels), network.backbone(pixels))
    assert loaded.name == "frameexit_efficientnet_4_6"


def test_an_efficientnet_with_a_missing_stage_is_named(tmp_path: Path) -> None:
    head = HeadSize(8, (6, 5), 3, 4)
    trunk = efficientnet_trunk(tiny_efficientnet())
    state = FrameExit(trunk, 6, head, name="", input_size=64, paper_gmacs_per_frame=None).state_dict()
    cut = {name: tensor for name, tensor in state.items() if not name.startswith("backbone.0.7.")}
    torch.save(cut, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"backbone\.0\.7\.0\.block"):
        load_network(tmp_path / "net.pth")
