"""``vbench export``: contents of the bundle, and atomic writing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.networks import save_checkpoint, tiny_network
from vbench.cli.main import main
from vbench.errors import CheckError, CheckpointError, UsageError, VbenchError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.graph import count_macs
from vbench.files import sha256
from vbench.models.frameexit.network import HeadSize
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import PolicySpec
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.load import load
from vbench.runtime.measurements.store import FILE
from vbench.runtime.policies.first_threshold import DatasetDefaults

REPOSITORY = Path(__file__).resolve().parents[2]
HEADS = ["gates", "classifiers"]
TWO_FRAMES = HeadSize(hidden=24, gate_widths=(8, 4), classes=5, frames=2)
COMMAND = [sys.executable, "-c", "from vbench.cli.main import main; main()", "export"]
SMALL = ExportOptions(input_size=32)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that exports quickly: two frames, no gate."""
    path = tmp_path_factory.mktemp("short") / "short.pth"
    save_checkpoint(tiny_network(TWO_FRAMES), path)
    return path


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """An otherwise empty folder to export into."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    return folder


def one_line(error: VbenchError) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_parts(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    names = ["preprocess", "backbone", "accumulator", *HEADS]
    assert list(manifest.parts) == names
    written = [*(f"{name}.onnx" for name in names), *(f"{name}_gpu.onnx" for name in HEADS), "weights.bin"]
    files = sorted(path.relative_to(tiny_bundle.path).as_posix() for path in tiny_bundle.path.rglob("*.*"))
    if FILE in files:  # measured by other tests; not part of the bundle
        files.remove(FILE)
    assert files == sorted([*(f"fp32/{name}" for name in written), "manifest.json"])
    forms = [part.files["fp32"] for part in manifest.parts.values()]
    for file in (*forms, *(manifest.parts[name].files_for("gpu")["fp32"] for name in HEADS), manifest.weights["fp32"]):
        path = tiny_bundle.path / file.path
        assert (path.stat().st_size, sha256(path)) == (file.size_bytes, file.sha256)
    assert (manifest.classes, manifest.frames, manifest.state_shape) == (5, 10, (24,))
    assert manifest.parts["classifiers"].macs == 24 * 5 == manifest.parts["classifiers"].parameters / 10 - 5
    assert manifest.parts["gates"].macs == 2 * (24 * 8 + 8 * 4) + 8
    assert manifest.parts["gates"].parameters == 8 * (24 * 8 + 8 + 8 * 4 + 4 + 8 + 1)
    assert manifest.parts["accumulator"].macs == manifest.parts["preprocess"].parameters == 0


def test_check_and_source_are_recorded(tiny_bundle: Bundle, tiny_checkpoint: Path) -> None:
    manifest = open_bundle(tiny_bundle.path).manifest
    assert set(manifest.checks) == {"fp32"}
    check = manifest.checks["fp32"]
    assert set(check.parts) == set(manifest.parts)
    assert check.exit_steps_changed == check.classes_changed == 0
    assert all(difference.relative <= 1e-4 == check.max_error for difference in check.parts.values())
    assert manifest.source.path == "../../frameexit_tiny.pth"
    assert manifest.source.sha256 == sha256(tiny_checkpoint)
    load_engine("torch", tiny_bundle, EngineOptions())


@pytest.mark.parametrize(
    ("part", "inputs", "output"),
    [
        ("preprocess", {"frames": [40, 36, 3]}, "pixels"),
        ("backbone", {"pixels": [3, 32, 32]}, "features"),
        ("accumulator", {"features": [24], "previous": [24]}, "state"),
        ("gates", {"state": [24], "previous": [24], "step": [1]}, "gate"),
        ("classifiers", {"state": [24], "step": [1]}, "logits"),
    ],
)
def test_graphs_take_any_batch(tiny_bundle: Bundle, part: str, inputs: dict[str, list[int]], output: str) -> None:
    session = onnxruntime.InferenceSession(tiny_bundle.part_file(part, "fp32"), providers=["CPUExecutionProvider"])
    assert [tensor.name for tensor in session.get_inputs()] == list(inputs)
    assert [tensor.name for tensor in session.get_outputs()] == [output]
    assert all(tensor.shape[0] == "n" for tensor in (*session.get_inputs(), *session.get_outputs()))
    rng = np.random.default_rng(0)
    dtype = np.uint8 if part == "preprocess" else np.float32
    three = {
        name: (rng.random((3, *shape)) * (255 if dtype == np.uint8 else 1)).astype(dtype)
        for name, shape in inputs.items()
    }
    if "step" in three:
        three["step"] = np.array([[9], [2], [5]], np.float32)
    together = session.run(None, three)[0]
    alone = [session.run(None, {name: value[row : row + 1] for name, value in three.items()})[0] for row in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-6)
    assert np.ptp(together, axis=0).max() > 0


def test_graphs_hold_no_batch_norm_and_no_paths(tiny_bundle: Bundle) -> None:
    for path in (tiny_bundle.path / "fp32").glob("*.onnx"):
        model = onnx.load(path)
        assert not [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
        content = path.read_bytes()
        for word in ("site-packages", str(REPOSITORY), str(Path.home()) + "/", ".py"):
            assert word.encode() not in content, (path.name, word)


def test_existing_bundle_stays_unless_forced(short: Path, parent: Path) -> None:
    out = parent / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    (out / "old.txt").touch()
    with pytest.raises(UsageError, match=r"already exists.*--force") as caught:
        export_checkpoint(short, out, SMALL)
    assert str(out) in one_line(caught.value)
    assert (out / "old.txt").exists()
    made = export_checkpoint(short, out, ExportOptions(input_size=32, force=True, opset=20))
    assert not (out / "old.txt").exists()
    assert open_bundle(out).manifest == made.manifest
    assert list(parent.iterdir()) == [out]
    assert onnx.load(out / "fp32" / "backbone.onnx").opset_import[0].version == 20


def test_excessive_difference_leaves_nothing(short: Path, parent: Path) -> None:
    with pytest.raises(CheckError, match=r"differs from PyTorch by .* --max-error 1e-12") as caught:
        export_checkpoint(short, parent / "bundle", ExportOptions(input_size=32, max_error=1e-12))
    one_line(caught.value)
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("checkpoint", ["missing.pth", "broken.pth"])
def test_bad_checkpoint_leaves_nothing(parent: Path, tmp_path: Path, checkpoint: str) -> None:
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(CheckpointError) as caught:
        export_checkpoint(tmp_path / checkpoint, parent / "bundle", SMALL)
    assert checkpoint in one_line(caught.value)
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ExportOptions(opset=7), "opset 7 is not supported; choose an opset from 18 to 23"),
        (ExportOptions(input_size=8), "input size 8 is too small"),
        (
            ExportOptions(precisions=("fp32", "fp8")),
            "unknown precision 'fp8'; choose one of fp32, fp16, int8-trt, int8",
        ),
        (ExportOptions(max_error=0), "--max-error must be > 0, got 0"),
        (ExportOptions(max_error=float("nan")), "--max-error must be > 0, got nan"),
        (ExportOptions(class_names=Path("no/such.txt")), "cannot read no/such.txt as a list of class names"),
        (ExportOptions(class_names=Path(__file__)), f"{__file__} holds "),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_options_out_of_range(short: Path, parent: Path, options: ExportOptions, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        export_checkpoint(short, parent / "bundle", options)
    assert one_line(caught.value).startswith(words)
    assert caught.value.hint
    assert list(parent.iterdir()) == []


def test_other_head_and_class_names(parent: Path, tmp_path: Path) -> None:
    head = HeadSize(hidden=16, gate_widths=(6, 3), classes=7, frames=4)
    save_checkpoint(tiny_network(head, seed=1), tmp_path / "other.pth")
    names = tmp_path / "names.txt"
    names.write_text("\n".join("abcdefg") + "\n")
    made = export_checkpoint(tmp_path / "other.pth", parent / "b", ExportOptions(input_size=64, class_names=names))
    assert (made.manifest.classes, made.manifest.frame_order) == (7, (2, 0, 3, 1))
    assert [name for name in made.manifest.parts if name.startswith("gate")] == ["gates"]
    assert made.manifest.parts["gates"].parameters == 2 * (16 * 6 + 6 + 6 * 3 + 3 + 6 + 1), "steps 2 and 3"
    clip = np.random.default_rng(0).integers(0, 256, (4, 70, 64, 3), dtype=np.uint8)
    actual, expected = (load(made.path, engine).predict(clip) for engine in ("ort", "torch"))
    np.testing.assert_allclose(actual.logits, expected.logits, rtol=0, atol=1e-4)
    assert (actual.exit_step, actual.name) == (expected.exit_step, "abcdefg"[expected.label])


def test_data_set_defaults(
    short: Path, parent: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(*args: str) -> int:
        monkeypatch.setattr(sys, "argv", [*("vbench", "export", str(short), "--input-size", "32"), *args])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert export("-o", str(parent / "anet"), "--dataset", "activitynet") == 0
    assert export("-o", str(parent / "any")) == 0
    assert export("-o", str(parent / "sthv2"), "--dataset", "sthv2") == 0
    specs = {path.name: open_bundle(path).manifest.policy for path in parent.iterdir()}
    assert specs == {
        "anet": PolicySpec(first_threshold=0.99, gate_threshold=0.5, dataset="activitynet"),
        "any": PolicySpec(first_threshold=None, gate_threshold=0.5),
        "sthv2": PolicySpec(first_threshold=None, gate_threshold=0.5, dataset="sthv2"),
    }
    networks = {name: load(parent / name, "ort") for name in specs}
    actual = {name: network.policy.record()["first_threshold"] for name, network in networks.items()}
    assert actual == {"anet": 0.99, "any": 0.95, "sthv2": 0.95}
    assert networks["anet"].policy_sources["first_threshold"] == "the bundle's data set activitynet"
    capsys.readouterr()
    assert export("-o", str(parent / "none"), "--dataset", "imagenet") == 2
    assert "'imagenet'; choose one of minikinetics, activitynet" in capsys.readouterr().err
    assert not (parent / "none").exists()


def test_threshold_and_data_set_are_exclusive(short: Path, parent: Path) -> None:
    options = ExportOptions(input_size=32, first_threshold=0.9, dataset=DatasetDefaults("activitynet", 0.99))
    with pytest.raises(UsageError, match=r"first threshold 0\.9 cannot be combined with the data set activitynet"):
        export_checkpoint(short, parent / "b", options)
    made = export_checkpoint(short, parent / "b", replace(options, dataset=None))
    assert made.manifest.policy == PolicySpec(first_threshold=0.9, gate_threshold=0.5)


def test_disk_full(short: Path, parent: Path) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); " + COMMAND[2]
    command = [sys.executable, "-c", code, "export", str(short), "-o", str(parent / "b"), "--input-size", "32"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.splitlines()[-1] == (
        f"vbench: cannot write {parent / 'b'}: no space left on the disk; free some space or write elsewhere"
    )
    assert "Traceback" not in ended.stderr
    assert list(parent.iterdir()) == []


def test_interrupted_export(tiny_checkpoint: Path, parent: Path) -> None:
    command = [*COMMAND, str(tiny_checkpoint), "-o", str(parent / "b"), "--input-size", "32"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any("tracing" in line for line in process.stderr)
        assert len(list(parent.iterdir())) == 1, "the folder it works in"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.strip() == "vbench: interrupted"
    assert list(parent.iterdir()) == []


def node_cost(
    node: onnx.NodeProto, shape: list[int | str], weights: list[int], output: list[int | str]
) -> tuple[int, int]:
    tensors: list[onnx.ValueInfoProto] = [
        helper.make_tensor_value_info(n, 1, s) for n, s in (("x", shape), ("y", output))
    ]
    values = np.zeros(weights, np.float32).ravel().tolist()
    weight = helper.make_tensor("w", TensorProto.FLOAT, weights, values)
    model = helper.make_model(helper.make_graph([node], "g", tensors[:1], tensors[1:], [weight]))
    return count_macs.macs(model), count_macs.parameters(model)


@pytest.mark.parametrize(
    ("node", "shape", "weights", "output", "macs"),
    [
        (
            lambda: helper.make_node("Conv", ["x", "w"], ["y"]),
            ["n", 6, 9, 8],
            [4, 6, 3, 3],
            ["n", 4, 7, 6],
            4 * 7 * 6 * 6 * 9,
        ),
        (
            lambda: helper.make_node("Conv", ["x", "w"], ["y"], group=3, strides=[2, 2]),
            ["n", 6, 9, 9],
            [12, 2, 3, 3],
            ["n", 12, 4, 4],
            12 * 16 * 2 * 9,
        ),
        (lambda: helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), ["n", 10], [7, 10], ["n", 7], 70),
        (lambda: helper.make_node("MatMul", ["x", "w"], ["y"]), ["n", 5, 10], [10, 7], ["n", 5, 7], 350),
        (lambda: helper.make_node("Add", ["x", "w"], ["y"]), ["n", 10], [10], ["n", 10], 0),
    ],
    ids=["conv", "grouped conv", "gemm", "matmul", "add"],
)
def test_cost(
    node: Callable[[], onnx.NodeProto], shape: list[int | str], weights: list[int], output: list[int | str], macs: int
) -> None:
    assert node_cost(node(), shape, weights, output) == (macs, int(np.prod(weights)) if macs else 0)


def test_force_replaces_only_bundles(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a bundle"):
        export_checkpoint(tiny_checkpoint, tmp_path / "mine", ExportOptions(input_size=32, force=True))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
