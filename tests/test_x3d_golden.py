"""Exported full-size X3D bundles compared with the results of the original modules, on every engine.

Narrow networks test the same paths in ``tests/runtime/networks/test_x3d.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from tests import x3d
from tests.bundle_cache import cached_export
from tests.golden.x3d import make_clips
from vbench.export.options import ExportOptions
from vbench.models.checkpoint.recognize import load_network
from vbench.models.frameexit.network import FrameExit
from vbench.models.x3d.network import X3D
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import Array, Engine
from vbench.runtime.load import load
from vbench.runtime.policies.gates import FrameExitPolicy

pytestmark = pytest.mark.slow

ENGINES = ("ort", "openvino", "torch")
Exported = Callable[..., Bundle]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("x3d")
    return functools.cache(lambda layout, seed=0: x3d.save(layout, folder, seed))


@pytest.fixture(scope="module")
def exported(checkpoint: Callable[..., Path]) -> Exported:
    """Return a function that exports a checkpoint of a layout and seed."""

    @functools.cache
    def export(layout: str, seed: int = 0) -> Bundle:
        path = checkpoint(layout, seed)
        return cached_export(path, path.with_suffix(""), ExportOptions())

    return export


def clip(video: int) -> NDArray[np.float32]:
    pixels: NDArray[np.float32] = x3d.clip(video)[0].numpy()
    return pixels


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", ["slowfast", "slowfast_plain", "pytorchvideo"])
def test_logits_match_the_originals(exported: Exported, layout: str, engine: str) -> None:
    network = load(exported(layout).path, engine)
    actual = [network.predict(clip(video)).logits for video in (0, 1, 2)]
    np.testing.assert_allclose(actual, x3d.golden()[f"{layout}/logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", ["slowfast", "pytorchvideo"])
def test_features_match_the_originals(
    exported: Exported, checkpoint: Callable[..., Path], layout: str, engine: str
) -> None:
    clips = np.stack([clip(video) for video in (0, 1, 2)])
    source = checkpoint(layout) if engine == "torch" else graph_to_features(exported(layout))
    actual = FEATURES[engine](source, clips).reshape(3, -1)
    np.testing.assert_allclose(actual, x3d.golden()[f"{layout}/features"].reshape(3, -1), rtol=0, atol=1e-5)


def of_torch(checkpoint: Path, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    network = load_network(checkpoint)
    assert isinstance(network, X3D)
    with torch.no_grad():
        features: NDArray[np.float32] = network.at(13).get_submodule("trunk")(torch.from_numpy(clips)).numpy()
    return features


def of_onnx_runtime(graph: Path, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (features,) = session.run(None, {"pixels": clips})
    return np.asarray(features)


def of_openvino(graph: Path, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.asarray(openvino.Core().compile_model(graph, "CPU", options)(clips)[0])


def graph_to_features(bundle: Bundle) -> Path:
    """Write the exported graph without its classifier, next to the original, so that it finds its external weights."""
    source = bundle.path / bundle.manifest.parts["frames_13"].files["fp32"].path
    graph = onnx.load(source, load_external_data=False)
    *_, relu = (node for node in graph.graph.node if node.op_type == "Relu")  # the one after lin_5 is the last
    del graph.graph.output[:]
    graph.graph.output.append(onnx.helper.make_tensor_value_info(relu.output[0], onnx.TensorProto.FLOAT, None))
    path = source.with_name("features.onnx")
    path.write_bytes(graph.SerializeToString())
    return path


def host(engine: Engine, part: str, *inputs: Array) -> Array:
    """Run a part on arrays and return its output as an array."""
    return engine.get(engine.run(part, *map(engine.put, inputs)))


FEATURES = {"ort": of_onnx_runtime, "openvino": of_openvino, "torch": of_torch}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", ["frameexit", "frameexit_ptv"])
@pytest.mark.parametrize(("first_threshold", "suffix"), [(0.99, "099"), (0.95, "095")])
def test_exit_steps_and_logits_match_the_composition(
    exported: Exported, layout: str, engine: str, first_threshold: float, suffix: str
) -> None:
    golden = x3d.golden()
    network = load(exported(layout).path, engine).with_policy(FrameExitPolicy(first_threshold))
    videos = golden[f"{layout}/video"].tolist()
    predictions = [network.predict(x3d.video(number)) for number in videos]
    assert [p.exit_step for p in predictions] == golden[f"{layout}/exit_step_{suffix}"].tolist()
    expected = golden[f"{layout}/logits_{suffix}"]
    np.testing.assert_allclose([p.logits for p in predictions], expected, rtol=0, atol=1e-3)
    assert all(p.frames_used == 13 * p.exit_step for p in predictions)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_step_matches_the_composition(exported: Exported, engine: str) -> None:
    bundle, golden = exported("frameexit"), x3d.golden()
    run = load(bundle.path, engine).engine
    for number, video in enumerate(golden["forced/video"].tolist()):
        clips, state = x3d.video(video), np.zeros((1, 4096), np.float32)
        for step, place in enumerate(bundle.manifest.frame_order):  # type: ignore[attr-defined]
            features = host(run, "backbone", clips[place : place + 1])
            np.testing.assert_allclose(features[0], golden["forced/mlp"][number, step], rtol=0, atol=1e-4)
            state = np.maximum(state, features)
            logits = host(run, "classifiers", state, np.full((1, 1), step + 1, np.float32))
            np.testing.assert_allclose(logits[0], golden["forced/logits"][number, step], rtol=0, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", ["slowfast", "frameexit"])
def test_preprocessing_matches_the_original(exported: Exported, layout: str, engine: str) -> None:
    network = load(exported(layout).path, engine)
    for number, (height, width) in enumerate(x3d.ORIGINALS["pre_sizes"]):
        frames = make_clips.uint8_clip(0, 500 + number, 0, height, width, 2)
        pixels = host(network.engine, "preprocess", frames).reshape(2, 3, 160, 160).transpose(1, 0, 2, 3)
        name = f"pre/{height}x{width}/crop160_1"
        np.testing.assert_allclose(pixels[:, :, :12, :12], x3d.golden()[f"{name}/tl"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(pixels[:, :, -12:, -12:], x3d.golden()[f"{name}/br"], rtol=0, atol=1e-6)


def test_costs_match_the_originals(exported: Exported) -> None:
    static, composed = exported("slowfast").manifest, exported("frameexit").manifest
    assert static.parts["frames_13"].macs == pytest.approx(x3d.ORIGINALS["macs"]["160"]["total"], rel=0.01)
    assert static.paper_gmacs_per_frame * 13 == pytest.approx(1.96)  # type: ignore[attr-defined]
    assert composed.parts["backbone"].macs == pytest.approx(1_962_072_912 + 8_388_608, rel=0.01)
    assert composed.paper_gmacs_per_frame * 13 == pytest.approx(1.96)  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ENGINES)
def test_other_static_checkpoints_match_pytorch(
    exported: Exported, checkpoint: Callable[..., Path], engine: str
) -> None:
    reference = load_network(checkpoint("slowfast", 1))
    with torch.no_grad():
        expected = reference(x3d.clip(3))[0].numpy()
    actual = load(exported("slowfast", 1).path, engine).predict(clip(3)).logits
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_other_compositions_match_pytorch(exported: Exported, checkpoint: Callable[..., Path], engine: str) -> None:
    reference = load_network(checkpoint("frameexit_ptv", 2))
    assert isinstance(reference, FrameExit)
    clips = x3d.video(4)
    steps, state = 3, torch.zeros(1, 4096)
    with torch.no_grad():
        for place in reference.frame_order[:steps]:
            state = torch.maximum(state, reference.mlp(reference.backbone(torch.from_numpy(clips[place : place + 1]))))
    run, actual = load(exported("frameexit_ptv", 2).path, engine).engine, np.zeros((1, 4096), np.float32)
    for place in reference.frame_order[:steps]:
        actual = np.maximum(actual, host(run, "backbone", clips[place : place + 1]))
    np.testing.assert_allclose(actual, state.numpy(), rtol=0, atol=1e-4)
    with torch.no_grad():
        logits = reference.classifiers[steps - 1](state).numpy()
    found = host(run, "classifiers", actual, np.full((1, 1), steps, np.float32))
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-3)
