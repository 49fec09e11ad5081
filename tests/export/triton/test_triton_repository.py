"""Triton repositories: configurations, contents and the command that writes them."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import FlexibleBundle
from tests.fakes_triton import InferenceResponse, RefusedError, Request, Server, parse_config
from tests.source_imports import imports
from tests.test_deployment import without_torch
from vbench.cli.main import main
from vbench.errors import BundleError, UsageError
from vbench.export.triton import repository as writing
from vbench.export.triton.config import quote
from vbench.export.triton.repository import PackageOptions, write_repository
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.policies.base import Policy
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import write_policy
from vbench.runtime.policies.rules import Confidence, PerVideo, Random

ROOT = Path(__file__).resolve().parents[3]


def test_weights_are_in_every_folder_that_needs_them(
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
    write_repository(tiny, tmp_path / "lockstep", FrameExitPolicy(0.5), PackageOptions(slots=4, schedule="lockstep"))
    write_repository(tiny, tmp_path / "python", FrameExitPolicy(0.5), PackageOptions(slots=4, parts="python"))
    write_repository(flexible, tmp_path / "flexible", Cascade((8,)))
    found = sorted(tmp_path.rglob("config.pbtxt"))
    assert len(found) == 5 * 6 + 6
    return found


def test_triton_parses_the_configs(
    tiny_bundle: Bundle[FrameExitManifest], flexible_bundle: FlexibleBundle, tmp_path: Path
) -> None:
    try:
        text_format = importlib.import_module("google.protobuf.text_format")
        message = importlib.import_module("tritonclient.grpc.model_config_pb2")
    except (ImportError, RuntimeError):  # without grpc, tritonclient raises RuntimeError
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
    assert network["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
    assert network["input"][0] == {"name": "FRAMES", "data_type": "TYPE_UINT8", "dims": [10, -1, -1, 3]}
    assert "dynamic_batching" not in network
    lockstep = configs["lockstep/tiny"]
    assert lockstep["instance_group"] == [{"count": 2, "kind": "KIND_CPU"}]
    assert lockstep["input"][0]["allow_ragged_batch"]
    assert lockstep["dynamic_batching"] == {"max_queue_delay_microseconds": 1000}
    assert configs["python/tiny_gates"]["backend"] == "python"
    assert configs["python/tiny_gates"]["default_model_filename"] == "model.py"
    assert configs["python/tiny_gates"]["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
    assert "dynamic_batching" not in configs["cpu/tiny_gates"]
    assert configs["auto/tiny_preprocess"]["instance_group"][0]["kind"] == "KIND_AUTO"


@pytest.mark.parametrize("text", ["plain", 'a"b\\c', "line\nbreak\t\r", "ünïcödé 好", "\x7f\x01"])
def test_texts_are_escaped(text: str) -> None:
    assert quote(text).isascii()
    assert parse_config(f"name: {quote(text)}") == {"name": text}


@pytest.mark.parametrize("text", ['name "x"', "nam: 1", 'name: "a" name: "b"', "dynamic_batching { x: 1 }", "input: 1"])
def test_the_parser_is_strict(text: str) -> None:
    with pytest.raises((RefusedError, StopIteration)):
        parse_config(text)


def test_written_atomically(
    tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, policy = tmp_path / "out", FrameExitPolicy(0.5)
    monkeypatch.setattr(writing, "readme", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_repository(tiny_bundle, out, policy)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    made = write_repository(tiny_bundle, out, policy)
    assert len(made.models) == 6
    assert {path.name for path in out.iterdir()} == {*made.models, "README.md", "vbench.json"}
    record = json.loads((out / "vbench.json").read_text())
    assert record["bundle"]["sha256"] == tiny_bundle.digest
    assert record["policy"] == policy.record()
    with pytest.raises(UsageError, match="already exists; add --force"):
        write_repository(tiny_bundle, out, policy)
    write_repository(tiny_bundle, out, FrameExitPolicy(0.6), PackageOptions(force=True))
    assert json.loads((out / "vbench.json").read_text())["policy"]["first_threshold"] == 0.6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo").touch()
    with pytest.raises(UsageError, match="is not a repository written by vbench"):
        write_repository(tiny_bundle, tmp_path / "mine", policy, PackageOptions(force=True))
    assert (tmp_path / "mine" / "photo").exists()


class InputOfClient:
    """Fake of ``tritonclient.http.InferInput``."""

    def __init__(self, name: str, shape: list[int], datatype: str) -> None:
        assert datatype == "UINT8"
        self.name, self.shape = name, shape

    def set_data_from_numpy(self, frames: NDArray[np.uint8]) -> None:
        assert list(frames.shape) == self.shape
        self.request = frames


class Answer:
    """Fake of ``tritonclient.http.InferResult``."""

    def __init__(self, response: InferenceResponse) -> None:
        self.as_numpy = response.__getitem__


def client_module(server: Server) -> ModuleType:
    """Return a fake ``tritonclient.http`` module for README code, bound to the fake server."""

    class InferenceServerClient:
        def __init__(self, address: str) -> None:
            assert address == "localhost:8000"

        def infer(self, name: str, inputs: list[InputOfClient], *, parameters: dict[str, str]) -> Answer:
            (given,) = inputs
            sent = {"binary_data_output": True, **parameters}  # as added by the client
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
        assert 'pip install "numpy<2" "pydantic>=2.9" &&' in start
        client = text.split("## Send a request", 1)[1]
        code = "\n".join(line[4:] for line in client.splitlines() if line.startswith("    "))
        server = Server(out, tmp_path / f"server of {bundle.name}")
        module = client_module(server)
        package = ModuleType("tritonclient")
        package.__dict__["http"] = module
        monkeypatch.setitem(sys.modules, "tritonclient", package)
        monkeypatch.setitem(sys.modules, "tritonclient.http", module)
        exec(compile(code, "README.md", "exec"), {})
        server.close()
        assert capsys.readouterr().out.count("[[") == 3


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Random((0.1,) * 10), "a random policy depends on the video's name"),
        (PerVideo({"a": 1}), "a planned policy depends on the video's name"),
    ],
)
def test_rejects_policies_that_need_video_names(
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
    assert said.out == f"out: 6 models, call {flexible.name}; see out/README.md to start a server\n"
    assert "hard links" in said.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--format", "torchserve"], "unknown format 'torchserve'; choose one of triton"),
        (["--precision", "int8"], "this bundle has no int8, only fp32"),
        (["--device", "tpu"], "unknown device 'tpu'; choose one of auto, gpu, cpu"),
        (["--schedule", "compact"], "unknown schedule 'compact'; choose one of inflight, lockstep"),
        (["--parts", "rust"], "unknown parts 'rust'; choose one of onnx, python"),
        (["--parts", "python", "--device", "gpu"], "--parts python runs on the CPU only, not on --device gpu"),
        (["--budget-ms", "20"], "--budget-ms does not apply to Triton: latencies would have to be measured on the"),
        (["--remeasure"], "--remeasure does not apply to Triton: latencies would have to be measured on the server; "),
        (["--frames", "8"], "takes no --frames"),
        (["--gate-threshold", "0.5,0.5"], "got 2 gate thresholds for a network with 8 gates"),
        (["--first-threshold", "2"], "first threshold 2.0 is outside [0, 1]"),
        (["--policy", "cascade.json"], "has no frame counts to choose from"),
        (["--policy", "cascade.json", "--first-threshold", "0.5"], "a policy takes no --first-threshold"),
        (["--policy", "random.json"], "a random policy depends on the video's name"),
        (["--policy", "none.json"], "cannot read none.json"),
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
    with (tmp_path / "tiny" / "fp32" / "gates.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="altered since the export"):
        write_repository(open_bundle(tmp_path / "tiny"), tmp_path / "out", FrameExitPolicy(0.5))


def test_python_parts_share_one_archive(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    made = write_repository(tiny_bundle, tmp_path / "out", FrameExitPolicy(0.5), PackageOptions(parts="python"))
    archives = sorted(made.path.rglob("vbench.zip"))
    assert [path.parts[-3] for path in archives] == sorted(made.models)
    assert len({path.stat().st_ino for path in archives}) == 1
    with pytest.raises(UsageError, match="unknown parts"):
        write_repository(tiny_bundle, tmp_path / "other", FrameExitPolicy(0.5), PackageOptions(parts="rust"))  # type: ignore[arg-type]


def test_the_archive_needs_only_numpy_and_pydantic(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    made = write_repository(tiny_bundle, tmp_path / "out", FrameExitPolicy(0.5))
    again = write_repository(tiny_bundle, tmp_path / "again", FrameExitPolicy(0.5))
    archive = made.path / made.name / "1" / "vbench.zip"
    assert archive.read_bytes() == (again.path / again.name / "1" / "vbench.zip").read_bytes()
    code = f"""
import sys
sys.modules["triton_python_backend_utils"] = type(sys)("triton_python_backend_utils")
sys.path.insert(0, {str(archive)!r})
import vbench.export.triton.served.model as model
assert "vbench.zip" in model.__file__
from pathlib import Path
from vbench.export.triton.served.served_network import ServedNetwork
ServedNetwork(Path({str(archive.parent)!r}))
import vbench.export.triton.served.numpy_check
print(*sorted({{"av", "PIL", "polars", "onnxruntime", "typer", "torch", "matplotlib", "rich"}} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "", "")


ROOT_MODULES = {path.stem for path in ROOT.glob("*.py")}
SERVED = sorted((ROOT / "export" / "triton" / "served").glob("*.py"))


@pytest.mark.parametrize("path", SERVED, ids=lambda path: path.stem)
def test_serving_code_imports_only_what_the_server_has(path: Path) -> None:
    outside = {"numpy", "triton_python_backend_utils"} | ({"onnxruntime"} if path.stem == "part_runner" else set())
    for each in imports(path):
        first, _, rest = each.name.partition(".")
        if first == "vbench":
            inside = rest.startswith(("runtime.", "export.triton.served."))
            inside |= rest.partition(".")[0] in ROOT_MODULES
            assert inside, f"{path.name}:{each.line} imports {each.name}"
        else:
            assert first in outside | sys.stdlib_module_names, f"{path.name}:{each.line} imports {each.name}"


def test_packaging_does_not_import_torch(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    ended = without_torch(
        "from vbench.cli.main import main; main()", "package", tiny_bundle.path, "-o", tmp_path / "out"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "out" / "tiny" / "1" / "model.py").is_file()
