"""X3D: both layouts, the goldens of the original modules, preprocessing, and rejected files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import x3d
from tests.golden.x3d import make_clips
from vbench.errors import CheckpointError
from vbench.export.graph.torch_to_onnx import trace_parts
from vbench.export.preprocess.select import preprocess_graph_for
from vbench.models.checkpoint.recognize import load_network
from vbench.models.part import Part, PartTensor
from vbench.models.x3d.layers import _Branch, _Inner, pooling_window
from vbench.models.x3d.network import X3D, preprocessing
from vbench.runtime.video.sampling import temporal_view_positions

LAYOUTS = ("slowfast", "slowfast_plain", "pytorchvideo")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("x3d")
    return functools.cache(lambda layout: x3d.save(layout, folder))


@pytest.fixture
def narrow_state() -> dict[str, Tensor]:
    return dict(x3d.narrow().state_dict())


def write(state: dict[str, Tensor], path: Path) -> Path:
    torch.save({"model_state": state}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_and_features_match_the_originals(checkpoint: Callable[[str], Path], layout: str) -> None:
    network = load_network(checkpoint(layout))
    assert isinstance(network, X3D)
    clips = torch.cat([x3d.clip(video) for video in (0, 1, 2)])
    module = network.at(13)
    with torch.no_grad():
        features = module.trunk(clips).flatten(1).numpy()  # type: ignore[operator]
        logits = module(clips)
    golden = x3d.golden()
    assert np.abs(features - golden[f"{layout}/features"].reshape(features.shape)).max() <= 1e-5
    assert np.abs(logits.numpy() - golden[f"{layout}/logits"].reshape(logits.shape)).max() <= 1e-4


@pytest.mark.slow
def test_positions_are_averaged_as_in_each_original(checkpoint: Callable[[str], Path]) -> None:
    clips = torch.cat([x3d.clip(video, size=182) for video in (0, 1)])
    with torch.no_grad():
        slowfast = load_network(checkpoint("slowfast"), 182)(clips).softmax(-1).numpy()
        pytorchvideo = load_network(checkpoint("pytorchvideo"), 182)(clips).numpy()
    golden = x3d.golden()
    assert np.abs(slowfast - golden["slowfast/182/output"]).max() <= 1e-5
    logits = golden["pytorchvideo/182/logits"].reshape(2, -1, 400).mean(1)
    assert np.abs(pytorchvideo - logits).max() <= 1e-4


@pytest.mark.slow
def test_macs_match_the_original(checkpoint: Callable[[str], Path]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = load_network(checkpoint("slowfast"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 13, 3, 160, 160))
    assert counter.get_total_flops() // 2 == x3d.ORIGINALS["macs"]["160"]["total"]


@pytest.mark.parametrize("name", [name for name in x3d.golden() if name.startswith("sampling/")])
def test_temporal_views_match_the_original(name: str) -> None:
    length, rate = name.removeprefix("sampling/L").split("_fps")
    assert temporal_view_positions(int(length), 13, float(rate)) == tuple(map(tuple, x3d.golden()[name].tolist()))


def test_temporal_views_to_the_end_of_the_video() -> None:
    first, *_, last = temporal_view_positions(300, 13, 30, to_end=True)
    assert (first[0], last[-1]) == (0, 299)
    assert temporal_view_positions(300, 13, 30)[-1][-1] == 276


@pytest.mark.parametrize(("height", "width"), [tuple(size) for size in x3d.ORIGINALS["pre_sizes"]])
def test_preprocessing_matches_the_original(height: int, width: int) -> None:
    import onnxruntime

    number = x3d.ORIGINALS["pre_sizes"].index([height, width])
    frames = make_clips.uint8_clip(0, 500 + number, 0, height, width, 2)
    for size in (182, 160):
        rules = preprocessing(size)
        expected = rules.part.module(torch.from_numpy(frames)).numpy()
        graph = preprocess_graph_for(rules.spec, 18)
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        (exported,) = session.run(None, {"frames": frames})
        for place, crop in enumerate(rules.crops):
            name = f"pre/{height}x{width}/crop{size}_{crop}"
            for pixels in (expected, exported):
                view = pixels[:, place].transpose(1, 0, 2, 3)
                assert np.abs(view[:, :, :12, :12] - x3d.golden()[f"{name}/tl"]).max() <= 1e-6
                assert np.abs(view[:, :, -12:, -12:] - x3d.golden()[f"{name}/br"]).max() <= 1e-6


def test_pooling_window_is_that_of_the_training_size() -> None:
    assert [pooling_window(size) for size in (32, 160, 182, 223, 224, 256)] == [1, 5, 5, 5, 7, 7]


@pytest.mark.parametrize("swapped", [True, False])
def test_both_layouts_give_the_same_network(narrow_state: dict[str, Tensor], tmp_path: Path, swapped: bool) -> None:
    norm = "s2.pathway0_res0.branch1_bn."
    state = {**narrow_state, f"{norm}bias": torch.zeros(4), f"{norm}running_mean": torch.zeros(4)}
    scale = state[f"{norm}weight"] / (state[f"{norm}running_var"] + 1e-5).sqrt()
    shortcut = "s2.pathway0_res0.branch1.weight"
    other = x3d.pytorchvideo_names({**state, shortcut: state[shortcut] * scale.reshape(-1, 1, 1, 1, 1)})
    if not swapped:  # the names as they should have been
        one, two = "blocks.0.conv.conv_t.weight", "blocks.0.conv.conv_xy.weight"
        other[one], other[two] = other[two], other[one]
    networks = [load_network(write(each, tmp_path / "x.pyth"), x3d.SIZE) for each in (state, other)]
    clip = torch.randn(2, 6, 3, x3d.SIZE, x3d.SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, actual = (network(clip) for network in networks)
    assert torch.allclose(expected, actual, atol=1e-5)
    assert [network.averages_probabilities for network in networks if isinstance(network, X3D)] == [True, False]


def test_frame_count_and_size_are_options(narrow_state: dict[str, Tensor], tmp_path: Path) -> None:
    network = load_network(write(narrow_state, tmp_path / "x.pyth"))
    assert isinstance(network, X3D)
    assert (network.input_size, network.default_counts) == (160, (13,))
    assert network.preprocessing.resize_side == 182
    assert preprocessing(224).spec.resize_side == 256


def test_frames_and_size_of_the_configuration_are_used(narrow_state: dict[str, Tensor], tmp_path: Path) -> None:
    config = "MODEL:\n  ARCH: x3d\nDATA:\n  NUM_FRAMES: 4\n  TRAIN_CROP_SIZE: 96\n  TEST_CROP_SIZE: 128\n"
    torch.save({"model_state": narrow_state, "cfg": config}, tmp_path / "xs.pyth")
    network = load_network(tmp_path / "xs.pyth")
    assert isinstance(network, X3D)
    assert (network.default_counts, network.input_size) == ((4,), 96)


def test_other_shapes_in_one_classifier_of_frameexit_are_rejected(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in x3d.narrow_frameexit().state_dict().items()}
    torch.save({**state, "module.classifiers.1.bias": torch.zeros(7)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"classifiers.1.bias is float32 \[7\] but should be float32 \[5\]"):
        load_network(tmp_path / "x.pth", x3d.SIZE)


def test_the_classifier_of_a_whole_trunk_is_ignored(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in x3d.narrow_frameexit().state_dict().items()}
    torch.save({**state, "module.backbone.head.projection.bias": torch.zeros(7)}, tmp_path / "x.pth")
    assert load_network(tmp_path / "x.pth", x3d.SIZE).name == "frameexit_x3d_s"


@pytest.mark.parametrize(("frames", "interval"), [(4, 12), (13, 6), (16, 5)])
def test_each_size_spaces_its_frames_as_in_training(frames: int, interval: int) -> None:
    first, *_ = temporal_view_positions(300, frames, 30)
    assert first[-1] == interval * frames - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: {**state, "s5.pathway0_res7.branch2.a.weight": torch.zeros(10, 8, 1, 1, 1)},
            "3, 5, 11, 8 blocks, such as X3D-L",
        ),
        (lambda state: {name: state[name] for name in list(state)[:-1]}, "1 missing"),
        (
            lambda state: {name: state[name] for name in state if name != "s3.pathway0_res2.branch2.a.weight"},
            r"1 missing \(s3.pathway0_res2.branch2.a.weight\)",
        ),
        (
            lambda state: {**state, "head.projection.bias": torch.zeros(7)},
            r"head.projection.bias is float32 \[7\] but should be float32 \[5\]",
        ),
        (
            lambda state: {name.replace("conv_xy", "conv_s"): state[name] for name in state},
            r"a network of SlowFast's slow pathway alone \(Slow, C2D, I3D\); use a checkpoint of .* X3D$",
        ),
        (lambda state: {**state, "head.lin_5.bias": torch.zeros(12)}, "1 unexpected"),
        (lambda state: {**state, "head.projection.bias": torch.full((5,), torch.nan)}, "NaN"),
        (lambda state: {f"backbone.{name}": tensor for name, tensor in state.items()}, "FrameExit"),
    ],
)
def test_rejected_files(
    narrow_state: dict[str, Tensor],
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    message: str,
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_network(write(change(narrow_state), tmp_path / "x.pyth"))


def test_openvino_computes_the_mean_of_a_large_map() -> None:
    """After a convolution, OpenVINO adds the values of one mean in order, in float32: 3e-5 of the result."""
    openvino = pytest.importorskip("openvino")
    torch.manual_seed(0)
    module = _Branch(24, 24, _Inner(54, 8), (1, 1, 1), squeezes=True).eval()
    module.b_bn.bias.data.fill_(3)  # so that the means are large, and matter
    for layer in (module.se.fc1, module.se.fc2):  # type: ignore[union-attr]
        layer.weight.data *= 4
    x = torch.randn(1, 24, 13, 80, 80)
    shape = ("n", *x.shape[1:])
    part = Part("branch", module, (PartTensor("x", "float32", shape),), PartTensor("y", "float32", shape))
    graph = trace_parts([part])["branch"].SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    np.testing.assert_allclose(compiled([x.numpy()])[0], expected, rtol=0, atol=1e-5)
