"""The exported full-size FrameExit network compared with the results of the original modules."""

from __future__ import annotations

import functools
import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import install
from tests.golden.make_clips import float_clip, uint8_clip
from tests.marks import slow_except
from vbench.errors import MissingError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.options import StreamOptions

Golden = dict[str, np.ndarray]
ALL = 40  # clips of the goldens
DRAW: dict[str, Callable[[int, int], np.ndarray]] = {"float": float_clip, "frames": uint8_clip}


@functools.cache
def clip(kind: str, index: int) -> np.ndarray:
    """Return a golden clip; cached, since generating a clip takes longer than running the network on it."""
    return DRAW[kind](0, index)


@pytest.fixture(scope="module", params=["ort", "torch"])
def network(request: pytest.FixtureRequest, golden_bundle: Bundle) -> Network:
    return load(golden_bundle.path, request.param)


@pytest.mark.parametrize("kind", ["float", "frames"])
@pytest.mark.parametrize(("first_threshold", "suffix"), [(0.95, ""), (0.99, "_099")])
@pytest.mark.parametrize("clips", slow_except([3], [3, ALL]))
def test_exit_steps_and_logits(
    network: Network, golden: Golden, kind: str, first_threshold: float, suffix: str, clips: int
) -> None:
    net = network.with_policy(FrameExitPolicy(first_threshold))
    predictions = [net.predict(clip(kind, int(index))) for index in golden["clip_index"][:clips]]
    assert len(predictions) == clips
    expected = golden[f"{kind}_logits{suffix}"][:clips]
    assert [p.exit_step for p in predictions] == golden[f"{kind}_exit_step{suffix}"][:clips].tolist()
    np.testing.assert_allclose([p.logits for p in predictions], expected, rtol=0, atol=1e-3)
    assert [p.label for p in predictions] == expected.argmax(1).tolist()
    for prediction in predictions:
        assert prediction.frames_used == prediction.exit_step
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("engine", "schedule", "clips"),
    slow_except(
        [("ort", "inflight", 4), ("openvino", "inflight", 4)],
        [
            *(("ort", schedule, ALL) for schedule in ("lockstep", "compact", "inflight")),
            *(("openvino", "inflight", ALL), ("ort", "inflight", 4), ("openvino", "inflight", 4)),
        ],
    ),
)
def test_schedules(golden_bundle: Bundle, golden: Golden, engine: str, schedule: str, clips: int) -> None:
    """Batches of eight clips in reverse order give the original's exit steps and logits."""
    try:
        network = load(golden_bundle.path, engine)
    except MissingError as error:
        pytest.skip(str(error))
    order = [int(index) for index in golden["clip_index"][:clips][::-1]]
    options = StreamOptions(schedule, slots=8, prefetch=1)
    results = network.stream((clip("float", index) for index in order), options)
    ordered = sorted(results, key=lambda result: result.clip)
    predictions = [result.prediction for result in ordered[::-1]]
    assert [p.exit_step for p in predictions if p] == golden["float_exit_step"][:clips].tolist()
    np.testing.assert_allclose([p.logits for p in predictions if p], golden["float_logits"][:clips], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("flavor", "sync"), slow_except([("11", "speculative")], [("10", "step"), ("11", "speculative")])
)
def test_tensorrt_on_a_stand_in(
    flavor: str, sync: str, golden_bundle: Bundle, golden: Golden, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The TensorRT engine on a stand-in gives the original's results in flight; ONNX Runtime does the arithmetic."""
    monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "home"))
    machine = install(monkeypatch, flavor)
    shutil.copytree(golden_bundle.path, tmp_path / "bundle")
    network = load(tmp_path / "bundle", "trt", slots=4)
    indices = [int(index) for index in golden["clip_index"][:8]]
    options = StreamOptions("inflight", slots=4, prefetch=1, sync=sync)
    results = list(network.stream((clip("float", index) for index in indices), options))
    predictions = {indices[result.clip]: result.prediction for result in results}
    for row, index in enumerate(indices):
        prediction = predictions[index]
        assert prediction is not None
        assert prediction.exit_step == golden["float_exit_step"][row]
        np.testing.assert_allclose(prediction.logits, golden["float_logits"][row], rtol=0, atol=1e-3)
    assert len({golden["float_exit_step"][row] for row in range(8)}) > 3
    del network
    gc.collect()
    machine.assert_balanced()


@pytest.mark.parametrize("clips", slow_except([1], [1, 4]))
def test_forced_features_gates_and_logits(network: Network, golden: Golden, clips: int) -> None:
    engine, manifest = network.engine, network.bundle.manifest
    assert len(golden["forced_clip_index"]) == 4
    for row, index in enumerate(golden["forced_clip_index"][:clips]):
        pixels = clip("float", int(index))
        state = np.zeros((1, *manifest.state_shape), np.float32)
        for step, place in enumerate(manifest.frame_order, start=1):
            previous = state
            features = engine.get(engine.run("backbone", engine.put(pixels[place][None])))
            state = engine.get(engine.run("accumulator", engine.put(features), engine.put(previous)))
            np.testing.assert_allclose(features[0], golden["forced_mlp"][row, step - 1], rtol=0, atol=1e-4)
            np.testing.assert_allclose(state[0], golden["forced_accumulated"][row, step - 1], rtol=0, atol=1e-4)
            number = engine.put(np.full((1, 1), step, np.float32))
            logits = engine.get(engine.run("classifiers", engine.put(state), number))
            np.testing.assert_allclose(logits[0], golden["forced_logits"][row, step - 1], rtol=0, atol=1e-3)
            if 2 <= step <= 9:
                gate = engine.get(engine.run("gates", engine.put(state), engine.put(previous), number))
                assert 1 - gate.item() == pytest.approx(golden["forced_gate_sigmoid"][row, step - 2], abs=1e-4)


def test_first_confidence(network: Network, golden: Golden) -> None:
    net = network.with_policy(FrameExitPolicy(0.0))
    for index, expected in zip(golden["clip_index"][:8], golden["float_first_confidence"]):
        prediction = net.predict(clip("float", int(index)))
        assert prediction.exit_step == 1
        assert prediction.probabilities.max() == pytest.approx(expected, abs=1e-4)


def test_preprocessing(network: Network, golden: Golden) -> None:
    sizes = json.loads((Path(__file__).parent / "golden" / "golden_inputs.json").read_text())["preprocessing_frames"]
    assert len(sizes) > 3
    for number, name in enumerate(sizes):
        height, width = (int(side) for side in name.split("x"))
        frame = uint8_clip(0, 1000 + number, height, width, 1)
        actual = network.engine.get(network.engine.run("preprocess", network.engine.put(frame)))[0]
        for corner, begin in (("tl", 0), ("mid", 104), ("br", 208)):
            part = actual[:, begin : begin + 16, begin : begin + 16]
            np.testing.assert_allclose(part, golden[f"pre_{name}_{corner}"], rtol=0, atol=1e-4)
        if f"pre_{name}_full" in golden:
            np.testing.assert_allclose(actual, golden[f"pre_{name}_full"], rtol=0, atol=1e-4)
        total, deviation = golden[f"pre_{name}_stats"][:2]
        assert actual.astype(np.float64).sum() == pytest.approx(total, rel=1e-4, abs=1)
        assert actual.astype(np.float64).std() == pytest.approx(deviation, rel=1e-4)


def test_macs_match_the_layers(golden_bundle: Bundle) -> None:
    parts = golden_bundle.manifest.parts
    assert parts["backbone"].macs / 1e9 == pytest.approx(4.0871 + 0.00839, abs=1e-4)
    assert parts["gates"].macs / 1e6 == pytest.approx(1.065, abs=1e-3)
    assert parts["classifiers"].macs / 1e6 == pytest.approx(0.82, abs=1e-3)
    assert golden_bundle.manifest.paper_gmacs_per_frame == 4.12
    steps = 8  # the last gate is never used
    assert parts["gates"].parameters / steps == pytest.approx(parts["gates"].macs / 2, rel=1e-3)
