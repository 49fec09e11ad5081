"""Single clips: executed parts, policies, accepted inputs, and missing packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vbench
from tests.networks import save_checkpoint, tiny_network
from tests.scripted import ScriptedEngine, ScriptedReader, stream
from tests.videos import save_picture
from vbench.errors import BundleError, FrameError, MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.install_hint import install
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.base import Evidence, Policy
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.policies.confidence import softmax
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.rules import Confidence, Fixed, Random
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipResult

STEPS = range(1, 11)


def run_scripted(bundle: Bundle, engine: ScriptedEngine, policy: FrameExitPolicy) -> tuple[ClipResult, list[int]]:
    reader = ScriptedReader(bundle.manifest, clip=0)
    (result,) = stream(engine, bundle.manifest, policy, [lambda: reader], StreamOptions())
    return result, reader.steps


@pytest.mark.parametrize("step", STEPS)
def test_only_the_needed_parts_run(tiny_bundle: Bundle, step: int) -> None:
    manifest = tiny_bundle.manifest
    engine = ScriptedEngine(manifest, [step])
    result, read = run_scripted(tiny_bundle, engine, FrameExitPolicy(0.955))
    expected = ["backbone", "accumulator", "classifiers"]
    for later in range(2, step + 1):
        expected += ["backbone", "accumulator"] + (["gates"] if later < 10 else [])
    expected += ["classifiers"] if step > 1 else []
    assert engine.calls == [(part, 1) for part in expected]
    prediction = result.unwrap()
    assert prediction.exit_step == step
    assert read == list(range(1, step + 1))
    assert prediction.macs == result.cost.macs == sum(manifest.parts[part].macs for part in expected) > 0
    np.testing.assert_array_equal(prediction.logits, engine.logits(0, step).astype(np.float32))
    gates = [0.75 if later == step else 0.25 for later in range(2, min(step, 9) + 1)]
    assert list(result.scores) == [pytest.approx(1.0 if step == 1 else 0.2), *gates]


@pytest.mark.parametrize(
    ("evidence", "exits"),
    [
        (Evidence(1, confidence=0.75), False),
        (Evidence(1, confidence=0.75 + 1e-9), True),
        (Evidence(1, confidence=float("nan")), False),
        (Evidence(1, gate=1.0), False),
        (Evidence(2, gate=0.5), False),
        (Evidence(2, gate=0.5 + 1e-9), True),
        (Evidence(9, gate=float("nan")), False),
        (Evidence(2, confidence=1.0), False),
    ],
)
def test_policy_compares_strictly(evidence: Evidence, exits: bool) -> None:
    assert FrameExitPolicy(0.75, (0.5,)).exits(evidence) is exits


@pytest.mark.parametrize("step", range(2, 10))
def test_a_threshold_for_each_gate(tiny_bundle: Bundle, step: int) -> None:
    thresholds = [0.25 if gate == step else 0.75 for gate in range(2, 10)]
    engine = ScriptedEngine(tiny_bundle.manifest, [10], gate_value=0.5)
    assert run_scripted(tiny_bundle, engine, FrameExitPolicy(1.0, tuple(thresholds)))[0].unwrap().exit_step == step


@pytest.mark.parametrize("outside", [-0.01, 1.01, float("nan"), float("inf")])
def test_thresholds_out_of_range(outside: float) -> None:
    for first, gates in ((outside, (0.5,)), (0.5, (0.5, outside))):
        with pytest.raises(UsageError, match=r"outside \[0, 1\]; choose a value from 0 to 1"):
            FrameExitPolicy(first, gates)
    with pytest.raises(UsageError, match="no gate threshold"):
        FrameExitPolicy(0.5, ())


def test_an_empty_list_of_thresholds_is_not_the_default(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="gate threshold"):
        vbench.load(tiny_bundle.path, gate_threshold=[])


@pytest.mark.parametrize("count", [2, 7, 9])
def test_wrong_number_of_thresholds(tiny_bundle: Bundle, count: int) -> None:
    with pytest.raises(
        UsageError, match=f"^got {count} gate thresholds for a network with 8 gates; pass 1 threshold, or 8"
    ):
        vbench.load(tiny_bundle.path, gate_threshold=count * [0.5])


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Cascade((4, 8)), "has no frame counts to choose from; pass an early-exit policy"),
        (Fixed(11), "fixed exits at step 11, but the network has 10 steps"),
        (Random((0.5, 0.5)), "got 2 shares for a network with 10 steps"),
        (FrameExitPolicy(0.5, (0.1, 0.2)), "got 2 gate thresholds for a network with 8 gates"),
        ("no/such/policy.json", "^cannot read no/such/policy.json: No such file"),
    ],
)
def test_policies_that_do_not_fit_the_network(tiny_bundle: Bundle, policy: Policy | str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        vbench.load(tiny_bundle.path, policy=policy)


@pytest.mark.parametrize(
    "options", [{"first_threshold": 0.5}, {"gate_threshold": 0.5}, {"gate_threshold": 8 * [0.5]}, {"frames": 4}]
)
def test_a_policy_with_another_choice_is_rejected(tiny_bundle: Bundle, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^a policy takes no --{next(iter(options)).replace('_', '-')} .*omit it"):
        vbench.load(tiny_bundle.path, policy=Confidence(0.5), **options)


@pytest.fixture(scope="module")
def network(tiny_bundle: Bundle) -> Network:
    return vbench.load(tiny_bundle.path)


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 40, 52, 3), dtype=np.uint8)


def test_predict(tiny_bundle: Bundle) -> None:
    net = vbench.load(str(tiny_bundle.path), engine="ort")
    result = net.predict(frames(10))
    assert isinstance(result, vbench.Prediction)
    assert result.label == result.logits.argmax()
    assert result.name is None
    assert result.logits.dtype == result.probabilities.dtype == np.float32
    np.testing.assert_array_equal(result.probabilities, softmax(result.logits))
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert result.exit_step == result.frames_used


@pytest.mark.parametrize("count", [1, 7, 10, 23])
def test_frames_are_sampled(network: Network, count: int) -> None:
    clip = frames(count)
    places = [min(i * count // 9, count - 1) for i in range(10)]
    actual, expected = network.predict(clip), network.predict(clip[places])
    np.testing.assert_array_equal(actual.logits, expected.logits)
    assert (actual.exit_step, actual.macs) == (expected.exit_step, expected.macs)


def test_normalized_pixels_give_the_same_prediction(network: Network) -> None:
    clip = frames(10)
    pixels = network.engine.get(network.engine.run("preprocess", network.engine.put(clip)))
    actual, expected = network.predict(pixels), network.predict(clip)
    np.testing.assert_allclose(actual.logits, expected.logits, rtol=0, atol=1e-6)
    assert actual.exit_step == expected.exit_step


def test_folder_of_images(network: Network, tmp_path: Path) -> None:
    from PIL import Image

    paths = [save_picture(tmp_path / f"{i:03d}.jpeg", level=20 * i) for i in range(12)]
    decoded = np.stack([np.asarray(Image.open(path)) for path in paths])
    np.testing.assert_array_equal(network.predict(tmp_path).logits, network.predict(decoded).logits)


def test_only_the_frames_used_are_decoded(network: Network, tmp_path: Path) -> None:
    for place in range(10):
        save_picture(tmp_path / f"{place}.jpeg", level=place)
    (tmp_path / "0.jpeg").write_bytes(b"broken")  # the second frame in reading order
    assert network.with_policy(FrameExitPolicy(0.0)).predict(tmp_path).exit_step == 1
    with pytest.raises(FrameError, match=r"0\.jpeg"):
        network.with_policy(FrameExitPolicy(1.0)).predict(tmp_path)


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((10, 3, 8, 8), np.uint8),
        np.zeros((10, 8, 8, 4), np.uint8),
        np.zeros((10, 8, 8, 3), np.float32),
        np.zeros((9, 3, 32, 32), np.float32),
        np.zeros((10, 3, 32, 32), np.float64),
        "no/such/file.mp4",
        Path(__file__),
        Path(__file__).parent,
        [np.zeros((8, 8, 3), np.uint8)],
        None,
        3,
    ],
    ids=lambda clip: f"{clip.dtype} {clip.shape}" if isinstance(clip, np.ndarray) else type(clip).__name__,
)
def test_invalid_clips(network: Network, clip: Any) -> None:
    with pytest.raises(FrameError) as caught:
        network.predict(clip)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_engines_agree(network: Network, tiny_bundle: Bundle) -> None:
    reference = vbench.load(tiny_bundle.path, "torch")
    steps = []
    for seed in range(12):
        clip = np.random.default_rng(seed).integers(0, 20 * seed + 30, (10, 40, 52, 3), dtype=np.uint8, endpoint=False)
        expected, actual = reference.predict(clip), network.predict(clip)
        np.testing.assert_allclose(actual.logits, expected.logits, rtol=0, atol=1e-4)
        assert (actual.label, actual.exit_step, actual.macs) == (expected.label, expected.exit_step, expected.macs)
        steps.append(actual.exit_step)
    assert len(set(steps)) > 1, "the clips must exit at different steps"


def test_torch_engine_and_its_checkpoint(tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing\.pth does not exist: the torch engine requires .*--checkpoint"):
        vbench.load(tiny_bundle.path, "torch", checkpoint=tmp_path / "nothing.pth")
    save_checkpoint(tiny_network(seed=1), tmp_path / "other.pth")
    with pytest.raises(BundleError, match=r"other\.pth is not the checkpoint"):
        vbench.load(tiny_bundle.path, "torch", checkpoint=tmp_path / "other.pth")
    moved = tmp_path / "moved.pth"
    moved.write_bytes(tiny_checkpoint.read_bytes())
    assert vbench.load(tiny_bundle.path, "torch", checkpoint=moved).engine.describe()["device"] == "cpu"


def test_unknown_engine(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"^unknown engine 'trt2'; choose one of ort, "):
        vbench.load(tiny_bundle.path, "trt2")


@pytest.mark.parametrize(("engine", "package", "extra"), [("ort", "onnxruntime", "cpu"), ("torch", "torch", "export")])
def test_missing_package(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, engine: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingError, match=f"^{package} is not installed; {install(extra)}$"):
        vbench.load(tiny_bundle.path, engine)


def test_missing_package_on_the_command_line(tiny_bundle: Bundle) -> None:
    code = "import sys; sys.modules['onnxruntime'] = None; from vbench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "run", str(tiny_bundle.path), "--engine", "ort"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == "vbench: onnxruntime is not installed; pip install onnxruntime\n"
