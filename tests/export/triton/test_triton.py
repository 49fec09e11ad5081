"""Models for Triton: model.py gives the same predictions as vbench, per request."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import FlexibleBundle
from tests.fakes_triton import InferenceResponse, RefusedError, Request, Server
from vbench.export.triton.model_source import model_source
from vbench.export.triton.repository import PackageOptions, write_repository
from vbench.runtime.bundle.bundle import MANIFEST, Bundle, open_bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.load import load
from vbench.runtime.policies.base import Policy
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.policies.confidence import confidence_and_entropy
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.rules import Confidence, Entropy, Fixed, Patience, RunAll
from vbench.runtime.scheduler.results import Prediction
from vbench.runtime.video.sampling import SAMPLERS

TEMPLATES = Path(__file__).parents[3] / "export" / "triton"
POLICIES: list[Policy] = [
    FrameExitPolicy(0.95),
    FrameExitPolicy(1.0, (0.95,)),
    FrameExitPolicy(0.9, (0.9, 0.98, 1.0, 0.8, 0.05, 0.5, 0.98, 0.2)),
    Confidence(0.99),
    Entropy(0.05),
    Patience(2),
    Fixed(3),
    RunAll(),
]


def noise(length: int, seed: int, height: int = 40, width: int = 50) -> NDArray[np.uint8]:
    """A clip of coarse blocks, some flat and some of high contrast, on which the tiny networks disagree."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (length, 4, 5, 3)) * rng.uniform(0.1, 1)
    frames: NDArray[np.uint8] = (
        blocks.repeat(-(-height // 4), 1).repeat(-(-width // 5), 2).astype(np.uint8)[:, :height, :width]
    )
    return np.ascontiguousarray(frames)


def serve(bundle: Bundle[Any], tmp_path: Path, policy: Policy, **options: Any) -> Server:
    out = tmp_path / "repository"
    write_repository(bundle, out, policy, PackageOptions(**options))
    return Server(out, tmp_path / "server")


def same(response: InferenceResponse, expected: list[Prediction]) -> None:
    assert response["EXIT_STEP"][:, 0].tolist() == [prediction.exit_step for prediction in expected]
    assert response["FRAMES_USED"][:, 0].tolist() == [prediction.frames_used for prediction in expected]
    assert response["CLASS"][:, 0].tolist() == [prediction.label for prediction in expected]
    np.testing.assert_allclose(response["LOGITS"], [prediction.logits for prediction in expected], 1e-5, 1e-5)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.record()["kind"])
def test_frameexit_matches_vbench(policy: Policy, tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    network, server = load(tiny_bundle.path, policy=policy), serve(tiny_bundle, tmp_path, policy)
    clips = [noise(10, seed) for seed in range(8)]
    # Frame sizes differ, one request has two clips, and all requests are in one call.
    others = [noise(10, seed, 33, 64) for seed in (20, 21)]
    asked = [clip[None] for clip in clips] + [np.stack(others)]
    *alone, pair = server.ask("tiny", *map(Request, asked))
    for clip, response in zip(clips, alone):
        same(response, [network.predict(clip)])
    steps = {int(response["EXIT_STEP"][0, 0]) for response in alone}
    assert len(steps) > 1 or isinstance(policy, Fixed | RunAll), "the clips are to be told apart"
    same(pair, [network.predict(clip) for clip in others])


def test_the_batch_shrinks_without_wasted_calls(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    server = serve(tiny_bundle, tmp_path, FrameExitPolicy(0.95, (0.9,)))
    (answer,) = server.ask("tiny", Request(np.stack([noise(10, seed) for seed in range(12)])))
    steps = answer["EXIT_STEP"][:, 0]
    assert len(set(steps.tolist())) > 2, "the clips are to be told apart"
    alive = [int((steps >= step).sum()) for step in range(1, int(steps.max()) + 1)]
    assert server.rows("_backbone") == server.rows("_accumulator") == server.rows("_preprocess") == alive
    assert sum(rows for name, rows in server.calls if "_gate_" in name) == sum(alive[1:9])
    assert sum(rows for name, rows in server.calls if "_classifier_" in name) == 12 + int((steps > 1).sum())


def test_more_rows_than_slots_are_split(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    bundle = flexible_bundle("tsm")
    server = serve(bundle, tmp_path, Cascade((8,)), slots=3)
    clips = [noise(8, seed) for seed in range(3)]
    (answer,) = server.ask(next(iter(server.networks)), Request(np.stack(clips)))
    same(answer, [load(bundle.path, frames=8).predict(clip) for clip in clips])
    assert set(server.rows("_preprocess")) == {3, 2}


def test_a_request_sets_its_thresholds(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    server, clip = serve(tiny_bundle, tmp_path, FrameExitPolicy(0.95)), noise(10, 1)
    gates = "0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.2"
    asked: list[dict[str, Any]] = [
        {"first_threshold": 1, "gate_threshold": 1.0},
        {"first_threshold": "0", "binary_data_output": True},
        {"gate_threshold": gates},
        {},
    ]
    answers = server.ask("tiny", *(Request(clip[None], parameters) for parameters in asked))
    chosen: list[dict[str, Any]] = [
        {"first_threshold": 1.0, "gate_threshold": 1.0},
        {"first_threshold": 0.0},
        {"gate_threshold": tuple(map(float, gates.split(",")))},
        {"first_threshold": 0.95},
    ]
    for answer, thresholds in zip(answers, chosen):
        same(answer, [load(tiny_bundle.path, **thresholds).predict(clip)])
    assert [int(answer["EXIT_STEP"][0, 0]) for answer in answers[:2]] == [10, 1]


def test_errors_affect_only_their_own_request(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    server, clip = serve(tiny_bundle, tmp_path, FrameExitPolicy(0.5)), noise(10, 1)
    bad = [
        ({"first_threshold": "high"}, "first_threshold high is not a number"),
        ({"first_threshold": 1.5}, "first_threshold 1.5 is outside [0, 1]"),
        ({"gate_threshold": "nan"}, "gate_threshold nan is outside [0, 1]"),
        ({"gate_threshold": "0.5,0.5"}, "gate_threshold takes 1 or 8 numbers, got 2"),
        ({"frames": 4}, "frames does not apply to this model's policy, frameexit"),
    ]
    answers = server.ask("tiny", *(Request(clip[None], parameters) for parameters, _ in bad), Request(clip[None]))
    assert [answer.said() for answer in answers[:-1]] == [words for _, words in bad]
    same(answers[-1], [load(tiny_bundle.path, first_threshold=0.5).predict(clip)])
    # Shapes that the server accepts, or would accept without its checks.
    execute = server.networks["tiny"].execute
    for frames in (np.zeros((1, 10, 0, 8, 3), np.uint8), clip, clip[None].astype(np.float32), clip[None, ..., :2]):
        (answer,) = execute([Request(np.ascontiguousarray(frames))])
        assert "FRAMES" in answer.said()
    (answer,) = execute([Request(clip[None], name="OTHER")])
    assert answer.said() == "FRAMES must be uint8 [clips, T, H, W, 3]"
    with pytest.raises(RefusedError, match="expected"):
        server.ask("tiny", Request(clip[None, :9]))


def test_a_missing_part_fails_only_the_clips_that_need_it(
    tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path
) -> None:
    server = serve(tiny_bundle, tmp_path, FrameExitPolicy(1.0))
    del server.sessions["tiny_gate_02"]
    early, late = server.ask(
        "tiny", Request(noise(10, 1)[None], {"first_threshold": 0}), Request(noise(10, 2)[None], {"first_threshold": 1})
    )
    assert not early.has_error()
    assert late.said() == "tiny_gate_02: model 'tiny_gate_02' is not ready"
    server.networks["tiny"].parts.parts = {}
    (answer,) = server.ask("tiny", Request(noise(10, 1)[None]))
    assert answer.said() == "KeyError: 'preprocess'"


@pytest.mark.parametrize("family", ["tsm", "uniformer"])
def test_flexible_matches_vbench(family: str, flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    bundle = flexible_bundle(family)
    server = serve(bundle, tmp_path, Cascade((2,)))
    name = next(iter(server.networks))
    clips = [noise(length, length, 70, 90) for length in (2, 5, 8, 19)]
    for parameters, chosen in [
        (None, {"frames": 2}),
        ({"frames": 4}, {"frames": 4}),
        ({"frames": "8"}, {"frames": 8}),
        ({"cascade": 0.3}, {"cascade": 0.3}),
        ({"frames": "2,4", "cascade": "1"}, {"frames": (2, 4), "cascade": 1.0}),
    ]:
        network = load(bundle.path, **chosen)
        for clip, answer in zip(clips, server.ask(name, *(Request(clip[None], parameters) for clip in clips))):
            same(answer, [network.predict(clip)])


def test_a_cascade_continues_for_uncertain_clips(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    bundle = flexible_bundle("tsm")
    clips = [noise(20, seed) for seed in range(8)]
    certain = sorted(confidence_and_entropy(load(bundle.path, frames=2).predict(clip).logits)[0] for clip in clips)
    policy = Cascade((2, 4, 8), (certain[3] + certain[4]) / 2)
    server, network = serve(bundle, tmp_path, policy), load(bundle.path, policy=policy)
    name = next(iter(server.networks))
    answers = server.ask(name, *(Request(clip[None]) for clip in clips))
    for clip, answer in zip(clips, answers):
        same(answer, [network.predict(clip)])
    assert sum(int(answer["EXIT_STEP"][0, 0]) == 1 for answer in answers) == 4
    assert server.rows("_frames_02") == [8]
    assert server.rows("_frames_04") == [4]


def test_flexible_errors(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    server = serve(flexible_bundle("tsm"), tmp_path, Cascade((2, 4), 0.5))
    name = next(iter(server.networks))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"frames": 3}, "frames 3 is not an ascending selection of [2, 4, 6, 8]"),
        ({"frames": "4,2", "cascade": 1}, "frames 4,2 is not an ascending selection of [2, 4, 6, 8]"),
        ({"frames": 2.5}, "frames 2.5 is not an integer"),
        ({"frames": "2,4"}, "frames [2, 4] requires a threshold; pass one count, or a confidence as cascade"),
        ({"cascade": "0.5,0.6"}, "cascade takes 1 number, got 2"),
        (
            {"first_threshold": 0.5},
            "first_threshold does not apply to this model, which has no gates; pass frames or cascade",
        ),
    ]
    answers = server.ask(name, *(Request(noise(4, 0)[None], parameters) for parameters, _ in bad))
    assert [answer.said() for answer in answers] == [words for _, words in bad]


def template(name: str) -> dict[str, Any]:
    """Execute a model.py without a server, to test its functions."""
    source = model_source(TEMPLATES / f"{name}.py").replace("import triton_python_backend_utils as pb_utils\n", "")
    module: dict[str, Any] = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), module)
    return module


def test_sampling_matches_vbench() -> None:
    positions = template("bls_flexible")["positions_of"]
    for sampling in ("segment_centres", "rounded_segments"):  # of networks that read one clip
        for count in (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 32):
            for length in range(1, 400):
                if length != count:
                    assert (tuple(positions(sampling, length, count)),) == SAMPLERS[sampling](length, count, 25.0, 1)
    assert positions("segment_centres", 4, 4) == [0, 1, 2, 3]


def test_certainty_matches_vbench_and_comparisons_are_strict() -> None:
    module = template("bls_frameexit")
    rng = np.random.default_rng(0)
    for scale in (0.1, 1, 10, 1000):
        logits = rng.normal(0, scale, 200).astype(np.float32)
        assert module["certainty"](logits) == confidence_and_entropy(logits)
        assert module["certainty"](logits, "sigmoid") == confidence_and_entropy(logits, "sigmoid")
    clip = module["Clip"](None, {"kind": "frameexit", "first_threshold": 1.0, "gate_thresholds": [0.5]})
    for gate, ends in ((0.5, False), (float(np.nextafter(0.5, 1)), True), (float("nan"), False)):
        clip.gate = gate
        assert module["exits"](clip, 2) is ends
    clip.step_logits = np.array([1000, 0], np.float32)  # its softmax is 1
    assert module["exits"](clip, 1) is False
    clip.step_logits = np.full(2, np.nan, np.float32)
    assert module["exits"](clip, 1) is False


@pytest.mark.parametrize("name", ["bls_frameexit", "bls_flexible"])
def test_imports_only_what_the_server_provides(name: str) -> None:
    source = model_source(TEMPLATES / f"{name}.py")
    tree = ast.parse(source)
    actual = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    actual |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert actual == {"__future__", "json", "numpy", "pathlib", "triton_python_backend_utils", "typing"}
    assert sum(isinstance(node, ast.ClassDef) and node.name == "TritonPythonModel" for node in tree.body) == 1


def test_class_names(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    names = ["ångström", 'a "quote" one', "c\\d", "e\nf", "g"]
    path = tmp_path / "odd name,ü"
    shutil.copytree(tiny_bundle.path, path)
    content = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(content | {"class_names": names}))
    server = serve(open_bundle(path), tmp_path, FrameExitPolicy(0.5))
    (answer,) = server.ask("odd_name__", Request(noise(10, 0)[None]))
    assert answer["CLASS_NAME"][0, 0] == names[answer["CLASS"][0, 0]].encode()
