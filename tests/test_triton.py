"""Triton repositories: what a server reads of them, and that their model.py answers as vbench does."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.standins_triton import InferenceResponse, RefusedError, Request, Server, parse_config
from tests.test_deployment import without_torch
from vbench.cli.main import main
from vbench.errors import BundleError, UsageError
from vbench.export.triton import repository as writing
from vbench.export.triton.config import quoted
from vbench.export.triton.repository import PackageOptions, write_repository
from vbench.export.triton.sources import model_source
from vbench.runtime.bundle import MANIFEST, Bundle, open_bundle
from vbench.runtime.cascade import Cascade
from vbench.runtime.load import load
from vbench.runtime.manifest import FlexibleManifest, FrameExitManifest
from vbench.runtime.policy import FrameExitPolicy, Policy
from vbench.runtime.policy_file import write_policy
from vbench.runtime.prediction import Prediction, certainty
from vbench.runtime.rules import Confidence, Entropy, Everything, Fixed, Patience, Planned, Random
from vbench.runtime.sampling import SAMPLERS

ROOT = Path(__file__).resolve().parents[1]
Clips = NDArray[np.uint8]
FlexibleBundle = Callable[..., Bundle[FlexibleManifest]]
POLICIES: list[Policy] = [
    FrameExitPolicy(0.95),
    FrameExitPolicy(1.0, (0.95,)),
    FrameExitPolicy(0.9, (0.9, 0.98, 1.0, 0.8, 0.05, 0.5, 0.98, 0.2)),
    Confidence(0.99),
    Entropy(0.05),
    Patience(2),
    Fixed(3),
    Everything(),
]


def noise(length: int, seed: int, height: int = 40, width: int = 50) -> Clips:
    """A clip of coarse blocks, some flat and some of high contrast, on which the tiny networks do not agree."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (length, 4, 5, 3)) * rng.uniform(0.1, 1)
    frames: Clips = blocks.repeat(-(-height // 4), 1).repeat(-(-width // 5), 2).astype(np.uint8)[:, :height, :width]
    return np.ascontiguousarray(frames)


def serve(bundle: Bundle[Any], tmp_path: Path, policy: Policy, **options: Any) -> Server:
    out = tmp_path / "repository"
    write_repository(bundle, out, policy, PackageOptions(**options))
    return Server(out, tmp_path / "server")


def same(response: InferenceResponse, wanted: list[Prediction]) -> None:
    assert response["EXIT_STEP"][:, 0].tolist() == [prediction.exit_step for prediction in wanted]
    assert response["FRAMES_USED"][:, 0].tolist() == [prediction.frames_used for prediction in wanted]
    assert response["CLASS"][:, 0].tolist() == [prediction.label for prediction in wanted]
    np.testing.assert_allclose(response["LOGITS"], [prediction.logits for prediction in wanted], 1e-5, 1e-5)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.record()["kind"])
def test_frameexit_answers_as_vbench_does(
    policy: Policy, tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path
) -> None:
    network, server = load(tiny_bundle.path, policy=policy), serve(tiny_bundle, tmp_path, policy)
    clips = [noise(10, seed) for seed in range(8)]
    # Sizes differ, one request has two clips, and all are in one call.
    others = [noise(10, seed, 33, 64) for seed in (20, 21)]
    asked = [clip[None] for clip in clips] + [np.stack(others)]
    *alone, pair = server.ask("tiny", *map(Request, asked))
    for clip, response in zip(clips, alone):
        same(response, [network.predict(clip)])
    steps = {int(response["EXIT_STEP"][0, 0]) for response in alone}
    assert len(steps) > 1 or isinstance(policy, Fixed | Everything), "the clips are to be told apart"
    same(pair, [network.predict(clip) for clip in others])


def test_the_batch_shrinks_and_nothing_runs_in_vain(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    server = serve(tiny_bundle, tmp_path, FrameExitPolicy(0.95, (0.9,)))
    (answer,) = server.ask("tiny", Request(np.stack([noise(10, seed) for seed in range(12)])))
    steps = answer["EXIT_STEP"][:, 0]
    assert len(set(steps.tolist())) > 2, "the clips are to be told apart"
    alive = [int((steps >= step).sum()) for step in range(1, int(steps.max()) + 1)]
    assert server.rows("_backbone") == server.rows("_accumulator") == server.rows("_preprocess") == alive
    assert sum(rows for name, rows in server.calls if "_gate_" in name) == sum(alive[1:9])
    assert sum(rows for name, rows in server.calls if "_classifier_" in name) == 12 + int((steps > 1).sum())


def test_more_rows_than_slots_go_in_several_calls(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    bundle = flexible_bundle("tsm")
    server = serve(bundle, tmp_path, Cascade((8,)), slots=3)
    clips = [noise(8, seed) for seed in range(3)]
    (answer,) = server.ask(next(iter(server.networks)), Request(np.stack(clips)))
    same(answer, [load(bundle.path, frames=8).predict(clip) for clip in clips])
    assert set(server.rows("_preprocess")) == {3, 2}


def test_a_request_brings_its_thresholds(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
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


def test_faults_answer_their_own_request_only(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    server, clip = serve(tiny_bundle, tmp_path, FrameExitPolicy(0.5)), noise(10, 1)
    bad = [
        ({"first_threshold": "high"}, "first_threshold high: not a number"),
        ({"first_threshold": 1.5}, "first_threshold 1.5 is outside [0, 1]"),
        ({"gate_threshold": "nan"}, "gate_threshold nan is outside [0, 1]"),
        ({"gate_threshold": "0.5,0.5"}, "gate_threshold: 2 numbers, give 1 or 8"),
        ({"frames": 4}, "frames: the policy of this model is frameexit, which has none"),
    ]
    answers = server.ask("tiny", *(Request(clip[None], parameters) for parameters, _ in bad), Request(clip[None]))
    assert [answer.said() for answer in answers[:-1]] == [words for _, words in bad]
    same(answers[-1], [load(tiny_bundle.path, first_threshold=0.5).predict(clip)])
    # Shapes that the server itself lets through, or would if it were asked past its checks.
    execute = server.networks["tiny"].execute
    for frames in (np.zeros((1, 10, 0, 8, 3), np.uint8), clip, clip[None].astype(np.float32), clip[None, ..., :2]):
        (answer,) = execute([Request(np.ascontiguousarray(frames))])
        assert "FRAMES" in answer.said()
    (answer,) = execute([Request(clip[None], name="OTHER")])
    assert answer.said() == "FRAMES has to be uint8 [clips, T, H, W, 3]"
    with pytest.raises(RefusedError, match="expected"):
        server.ask("tiny", Request(clip[None, :9]))


def test_a_missing_part_is_an_error_of_the_clips_that_need_it(
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
def test_flexible_answers_as_vbench_does(family: str, flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
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


def test_a_cascade_goes_on_for_the_uncertain(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    bundle = flexible_bundle("tsm")
    clips = [noise(20, seed) for seed in range(8)]
    certain = sorted(certainty(load(bundle.path, frames=2).predict(clip).logits)[0] for clip in clips)
    policy = Cascade((2, 4, 8), (certain[3] + certain[4]) / 2)
    server, network = serve(bundle, tmp_path, policy), load(bundle.path, policy=policy)
    name = next(iter(server.networks))
    answers = server.ask(name, *(Request(clip[None]) for clip in clips))
    for clip, answer in zip(clips, answers):
        same(answer, [network.predict(clip)])
    assert sum(int(answer["EXIT_STEP"][0, 0]) == 1 for answer in answers) == 4
    assert server.rows("_frames_02") == [8]
    assert server.rows("_frames_04") == [4]


def test_flexible_faults(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    server = serve(flexible_bundle("tsm"), tmp_path, Cascade((2, 4), 0.5))
    name = next(iter(server.networks))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"frames": 3}, "frames 3: give some of [2, 4, 6, 8], the smallest first"),
        ({"frames": "4,2", "cascade": 1}, "frames 4,2: give some of [2, 4, 6, 8], the smallest first"),
        ({"frames": 2.5}, "frames 2.5: not a whole number"),
        ({"frames": "2,4"}, "frames [2, 4] without a rule to choose, give one, or a confidence as cascade"),
        ({"cascade": "0.5,0.6"}, "cascade: 2 numbers, give 1"),
        ({"first_threshold": 0.5}, "first_threshold: this model has no gates, give frames or cascade"),
    ]
    answers = server.ask(name, *(Request(noise(4, 0)[None], parameters) for parameters, _ in bad))
    assert [answer.said() for answer in answers] == [words for _, words in bad]


def template(name: str) -> dict[str, Any]:
    """Run a model.py without a server, for the functions in it."""
    source = model_source(name).replace("import triton_python_backend_utils as pb_utils\n", "")
    module: dict[str, Any] = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), module)
    return module


def test_samples_as_vbench_does() -> None:
    positions = template("bls_flexible")["positions_of"]
    for sampling, sampler in SAMPLERS.items():
        for count in (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 32):
            for length in range(1, 400):
                if length != count:
                    assert tuple(positions(sampling, length, count)) == sampler(length, count)
    assert positions("segment_centres", 4, 4) == [0, 1, 2, 3]


def test_is_as_certain_as_vbench_and_compares_strictly() -> None:
    module = template("bls_frameexit")
    rng = np.random.default_rng(0)
    for scale in (0.1, 1, 10, 1000):
        logits = rng.normal(0, scale, 200).astype(np.float32)
        assert module["certainty"](logits) == certainty(logits)
    clip = module["Clip"](None, {"kind": "frameexit", "first_threshold": 1.0, "gate_thresholds": [0.5]})
    for gate, ends in ((0.5, False), (float(np.nextafter(0.5, 1)), True), (float("nan"), False)):
        clip.gate = gate
        assert module["exits"](clip, 2) is ends
    clip.found = np.array([1000, 0], np.float32)  # its softmax is 1
    assert module["exits"](clip, 1) is False
    clip.found = np.full(2, np.nan, np.float32)
    assert module["exits"](clip, 1) is False


@pytest.mark.parametrize("name", ["bls_frameexit", "bls_flexible"])
def test_needs_nothing_that_the_server_has_not(name: str) -> None:
    source = model_source(name)
    tree = ast.parse(source)
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert found == {"__future__", "json", "numpy", "pathlib", "triton_python_backend_utils", "typing"}
    assert sum(isinstance(node, ast.ClassDef) and node.name == "TritonPythonModel" for node in tree.body) == 1


def test_a_wheel_has_the_templates() -> None:
    listed = set(re.findall(r'"(vbench[.a-z]*)",', (ROOT / "pyproject.toml").read_text()))
    packages = {path.parent.relative_to(ROOT).parts for path in (ROOT / "export").rglob("__init__.py")}
    assert ("export", "triton") in packages
    assert {".".join(("vbench", *parts)) for parts in packages} <= listed


def test_says_the_names_of_classes(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    names = ["ångström", 'a "quoted" one', "c\\d", "e\nf", "g"]
    path = tmp_path / "odd name,ü"
    shutil.copytree(tiny_bundle.path, path)
    content = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(content | {"class_names": names}))
    server = serve(open_bundle(path), tmp_path, FrameExitPolicy(0.5))
    (answer,) = server.ask("odd_name__", Request(noise(10, 0)[None]))
    assert answer["CLASS_NAME"][0, 0] == names[answer["CLASS"][0, 0]].encode()


def test_weights_lie_in_every_folder_that_needs_them(
    flexible_bundle: FlexibleBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = flexible_bundle("tsm")
    linked = write_repository(bundle, tmp_path / "linked", Cascade((8,)))
    monkeypatch.setattr(writing, "_link", lambda *_: False)
    copied = write_repository(bundle, tmp_path / "copied", Cascade((8,)))
    assert (linked.linked, linked.copied, copied.linked, copied.copied) == (3, 1, 0, 4)
    for made, inodes in ((linked, 1), (copied, 4)):
        files = sorted(made.path.rglob("weights.bin"))
        assert [file.parts[-3][-9:] for file in files] == ["frames_02", "frames_04", "frames_06", "frames_08"]
        assert len({file.stat().st_ino for file in files}) == inodes
        assert bundle.weights_file("fp32").stat().st_nlink == 1  # type: ignore[union-attr]


def repositories(tiny: Bundle[Any], flexible: Bundle[Any], tmp_path: Path) -> list[Path]:
    for device in ("auto", "gpu", "cpu"):
        write_repository(tiny, tmp_path / device, FrameExitPolicy(0.5), PackageOptions(slots=4, device=device))
    write_repository(flexible, tmp_path / "flexible", Cascade((8,)))
    found = sorted(tmp_path.rglob("config.pbtxt"))
    assert len(found) == 3 * 22 + 6
    return found


def test_configs_are_what_triton_reads(
    tiny_bundle: Bundle[FrameExitManifest], flexible_bundle: FlexibleBundle, tmp_path: Path
) -> None:
    try:
        text_format = importlib.import_module("google.protobuf.text_format")
        message = importlib.import_module("tritonclient.grpc.model_config_pb2")
    except (ImportError, RuntimeError):  # without grpc, tritonclient raises the latter
        pytest.skip("needs tritonclient[grpc]")
    for path in repositories(tiny_bundle, flexible_bundle("tsm"), tmp_path):
        config = text_format.Parse(path.read_text(), message.ModelConfig())
        assert config.name == path.parent.name
        ours = parse_config(path.read_text())
        assert list(config.input[0].dims) == ours["input"][0]["dims"]
        assert message.DataType.Name(config.input[0].data_type) == ours["input"][0]["data_type"]
        kind = message.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind)
        assert kind == ours["instance_group"][0]["kind"]


def test_configs_are_right(
    tiny_bundle: Bundle[FrameExitManifest], flexible_bundle: FlexibleBundle, tmp_path: Path
) -> None:
    found = repositories(tiny_bundle, flexible_bundle("tsm"), tmp_path)
    configs = {path.relative_to(tmp_path).parent.as_posix(): parse_config(path.read_text()) for path in found}
    backbone, network = configs["gpu/tiny_backbone"], configs["gpu/tiny"]
    assert backbone["input"] == [{"name": "pixels", "data_type": "TYPE_FP32", "dims": [3, 32, 32]}]
    assert (backbone["max_batch_size"], backbone["dynamic_batching"]) == (4, {"max_queue_delay_microseconds": 0})
    assert backbone["instance_group"] == [{"count": 1, "kind": "KIND_GPU"}]
    assert network["instance_group"] == [{"count": 2, "kind": "KIND_CPU"}]
    assert network["input"][0]["dims"] == [10, -1, -1, 3]
    assert network["input"][0]["allow_ragged_batch"]
    assert "dynamic_batching" not in configs["cpu/tiny_gate_02"]
    assert configs["auto/tiny_preprocess"]["instance_group"][0]["kind"] == "KIND_AUTO"


@pytest.mark.parametrize("text", ["plain", 'a"b\\c', "line\nbreak\t\r", "ünïcödé 好", "\x7f\x01"])
def test_texts_are_escaped(text: str) -> None:
    assert quoted(text).isascii()
    assert parse_config(f"name: {quoted(text)}") == {"name": text}


@pytest.mark.parametrize("text", ['name "x"', "nam: 1", 'name: "a" name: "b"', "dynamic_batching { x: 1 }", "input: 1"])
def test_the_parser_is_strict(text: str) -> None:
    with pytest.raises((RefusedError, StopIteration)):
        parse_config(text)


def test_is_there_whole_or_not_at_all(
    tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, policy = tmp_path / "out", FrameExitPolicy(0.5)
    monkeypatch.setattr(writing, "readme", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_repository(tiny_bundle, out, policy)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    made = write_repository(tiny_bundle, out, policy)
    assert len(made.models) == 22
    assert {path.name for path in out.iterdir()} == {*made.models, "README.md", "vbench.json"}
    record = json.loads((out / "vbench.json").read_text())
    assert record["bundle"]["sha256"] == tiny_bundle.digest
    assert record["policy"] == policy.record()
    with pytest.raises(UsageError, match="already there; add --force"):
        write_repository(tiny_bundle, out, policy)
    write_repository(tiny_bundle, out, FrameExitPolicy(0.6), PackageOptions(force=True))
    assert json.loads((out / "vbench.json").read_text())["policy"]["first_threshold"] == 0.6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo").touch()
    with pytest.raises(UsageError, match="not a repository that vbench wrote"):
        write_repository(tiny_bundle, tmp_path / "mine", policy, PackageOptions(force=True))
    assert (tmp_path / "mine" / "photo").exists()


class InputOfClient:
    """As ``tritonclient.http.InferInput``."""

    def __init__(self, name: str, shape: list[int], datatype: str) -> None:
        assert datatype == "UINT8"
        self.name, self.shape = name, shape

    def set_data_from_numpy(self, frames: Clips) -> None:
        assert list(frames.shape) == self.shape
        self.request = frames


class Answer:
    """As ``tritonclient.http.InferResult``."""

    def __init__(self, response: InferenceResponse) -> None:
        self.as_numpy = response.__getitem__


def client_module(server: Server) -> ModuleType:
    """Return what the code of a README imports as ``tritonclient.http``, bound to the stand-in."""

    class InferenceServerClient:
        def __init__(self, address: str) -> None:
            assert address == "localhost:8000"

        def infer(self, name: str, inputs: list[InputOfClient], *, parameters: dict[str, str]) -> Answer:
            (given,) = inputs
            sent = {"binary_data_output": True, **parameters}  # as the client adds it
            return Answer(server.ask(name, Request(given.request, sent, given.name))[0])

    module = ModuleType("tritonclient.http")
    module.__dict__.update(InferenceServerClient=InferenceServerClient, InferInput=InputOfClient)
    return module


def test_readme_code_runs(
    tiny_bundle: Bundle[FrameExitManifest],
    flexible_bundle: FlexibleBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for bundle, policy in ((tiny_bundle, FrameExitPolicy(0.5)), (flexible_bundle("tsm"), Cascade((8,)))):
        out = tmp_path / bundle.name
        write_repository(bundle, out, policy)
        text = (out / "README.md").read_text()
        assert max(map(len, text.splitlines())) <= 120
        start = text.split("## Start the server", 1)[1].split("##", 1)[0]
        assert "tritonserver --model-repository=/models" in start
        client = text.split("## Ask it", 1)[1]
        code = "\n".join(line[4:] for line in client.splitlines() if line.startswith("    "))
        module = client_module(Server(out, tmp_path / f"server of {bundle.name}"))
        package = ModuleType("tritonclient")
        package.__dict__["http"] = module
        monkeypatch.setitem(sys.modules, "tritonclient", package)
        monkeypatch.setitem(sys.modules, "tritonclient.http", module)
        exec(compile(code, "README.md", "exec"), {})
        assert capsys.readouterr().out.count("[[") == 3


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Random((0.1,) * 10), "a random policy decides by the video's name"),
        (Planned({"a": 1}), "a planned policy decides by the video's name"),
    ],
)
def test_refuses_what_needs_names(
    policy: Policy, words: str, tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        write_repository(tiny_bundle, tmp_path / "out", policy)


def run(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["vbench", "package", *map(str, args)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_command(
    tiny_bundle: Bundle[FrameExitManifest],
    flexible_bundle: FlexibleBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_policy(tmp_path / "policy.json", Confidence(0.7), {})
    args = ("--format", "triton", "--policy", "policy.json", "--slots", "8", "--json")
    assert run(monkeypatch, tiny_bundle.path, *args) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["policy"] == {"kind": "confidence", "threshold": 0.7}
    assert document["repository"] == "triton/tiny"
    assert (tmp_path / "triton" / "tiny" / "tiny" / "1" / "policy.json").is_file()
    flexible = flexible_bundle("tsm").path
    assert run(monkeypatch, flexible, "-o", "out", "--frames", "2,8", "--cascade", "0.8") == 0
    said = capsys.readouterr()
    assert said.out == f"out: 6 models, ask {flexible.name}; out/README.md says how to start a server\n"
    assert "hard links" in said.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--format", "torchserve"], "no format 'torchserve'; known is triton"),
        (["--precision", "int8"], "no int8 in this bundle, it has fp32"),
        (["--device", "tpu"], "no device 'tpu'; choose one of auto, gpu, cpu"),
        (["--frames", "8"], "takes no --frames"),
        (["--gate-threshold", "0.5,0.5"], "2 gate thresholds for 8 gates"),
        (["--first-threshold", "2"], "first threshold 2.0 is outside [0, 1]"),
        (["--policy", "cascade.json"], "has no frame counts to choose from"),
        (["--policy", "cascade.json", "--first-threshold", "0.5"], "a policy takes no --first-threshold"),
        (["--policy", "random.json"], "a random policy decides by the video's name"),
        (["--policy", "none.json"], "none.json: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    args: list[str],
    words: str,
    tiny_bundle: Bundle[FrameExitManifest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_policy(tmp_path / "cascade.json", Cascade((2, 4)), {})
    write_policy(tmp_path / "random.json", Random((0.1,) * 10), {})
    assert run(monkeypatch, tiny_bundle.path, "-o", "out", *args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not (tmp_path / "out").exists()


def test_an_altered_graph_is_not_packaged(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle.path, tmp_path / "tiny")
    with (tmp_path / "tiny" / "fp32" / "gate_02.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="altered since the export"):
        write_repository(open_bundle(tmp_path / "tiny"), tmp_path / "out", FrameExitPolicy(0.5))


def test_packages_without_torch(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    ended = without_torch(
        "from vbench.cli.main import main; main()", "package", tiny_bundle.path, "-o", tmp_path / "out"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "out" / "tiny" / "1" / "model.py").is_file()
