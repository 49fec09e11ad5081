"""``vbench migrate`` for FrameExit bundles of earlier versions, with a gate and a classifier per step.

What a migration writes must equal what an export writes now: graphs and weights bit for bit.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.bench.migrate.test_migrate import contents, refused
from tests.bundle_cache import cached_export
from tests.in_process import Ended, Vbench, in_process
from tests.networks import save_checkpoint, tiny_network
from tests.step_parts import to_step_parts
from vbench.bench.migrate import migrate_target
from vbench.errors import CheckError, MissingError
from vbench.export.exporter import ExportOptions
from vbench.export.heads import migrate
from vbench.export.heads.migrate import merge_steps
from vbench.files import sha256
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.runtime.bundle.bundle import MANIFEST, Bundle, open_bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.load import load

OLD = "is from an older vbench, which evaluated gates and classifiers in a part per step"
CHANGE = "6 parts -> gates, classifiers"
FOUR_FRAMES = HeadSize(hidden=24, gate_widths=(8, 8), classes=5, frames=4)
TWO_FRAMES = HeadSize(hidden=24, gate_widths=(8, 4), classes=5, frames=2)
GATE_SET = {"beta": 0.01, "first_threshold": 0.9, "gate_threshold": 0.5}
SETS = {"one": "", "two": "__two"}


@pytest.fixture
def vbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vbench:
    return in_process(monkeypatch, capsys)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with four steps, as exported now."""
    return export(tmp_path_factory.mktemp("four"), four_frames())


@pytest.fixture
def old(exported: Path, tmp_path: Path) -> Path:
    """The bundle with four steps, as exported by earlier versions."""
    return to_step_parts(copied(exported, tmp_path / "bundle"))


def four_frames() -> FrameExit:
    """A network whose first gate has two equal biases, which exporters store once."""
    network = tiny_network(FOUR_FRAMES)
    gate = network.exit_selector[0]
    with torch.no_grad():
        for tensor in (gate.conv1.bias, gate.conv2.bias, gate.bn1.running_mean, gate.bn2.running_mean):
            tensor.zero_()
    return network


def export(folder: Path, network: FrameExit) -> Path:
    save_checkpoint(network, folder / "network.pth")
    return cached_export(folder / "network.pth", folder / "bundle", ExportOptions(input_size=32)).path


def copied(bundle: Path, folder: Path) -> Path:
    return Path(shutil.copytree(bundle, folder))


def manifest_of(bundle: Path) -> FrameExitManifest:
    manifest = open_bundle(bundle).manifest
    assert isinstance(manifest, FrameExitManifest)
    return manifest


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((bundle / MANIFEST).read_bytes())
    change(content)
    (bundle / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def replace_graph(bundle: Path, part: str, content: bytes) -> None:
    """Replace the graph of a part, with the correct digest."""
    path = bundle / "fp32" / f"{part}.onnx"
    path.write_bytes(content)
    file = {"path": f"fp32/{path.name}", "size_bytes": len(content), "sha256": sha256(path)}
    edit(bundle, lambda manifest: manifest["parts"][part].update(files={"fp32": file}))


def same_files(bundle: Path, expected: Path) -> None:
    """Check that two bundles have the same files, apart from the manifests' spacing."""
    found, wanted = contents(bundle), contents(expected)
    assert json.loads(found.pop(MANIFEST)) == json.loads(wanted.pop(MANIFEST))
    assert found == wanted


def same_predictions(bundle: Path, expected: Path, **options: Any) -> None:
    networks = [load(each, **options) for each in (expected, bundle)]
    frames = manifest_of(bundle).frames
    clips = np.random.default_rng(0).integers(0, 256, (6, frames, 40, 50, 3), dtype=np.uint8)
    for clip in clips:
        wanted, found = (network.predict(clip) for network in networks)
        assert (found.label, found.exit_step) == (wanted.label, wanted.exit_step)
        np.testing.assert_array_equal(found.logits, wanted.logits)


def test_opening_names_the_command(vbench: Vbench, old: Path) -> None:
    refused(vbench("inspect", old), f"{old / MANIFEST} {OLD}; run vbench migrate {old}")


@pytest.mark.parametrize(("version", "change"), [(3, "schema 3 -> 4"), (4, "schema 4")])
def test_the_result_is_that_of_an_export(
    vbench: Vbench, exported: Path, tmp_path: Path, version: int, change: str
) -> None:
    bundle = to_step_parts(copied(exported, tmp_path / "bundle"), version)
    shared = [tensor.name for tensor in onnx.load(bundle / "fp32" / "gate_02.onnx").graph.initializer]
    assert len([name for name in shared if name.endswith("bias")]) == 2, "the test needs two layers with one bias"
    (bundle / "plans").mkdir()
    (bundle / "plans" / "signed").touch()
    assert vbench("migrate", bundle) == Ended(0, f"{bundle / MANIFEST}: bundle, {change}, {CHANGE}\n", "")
    (bundle / "plans" / "signed").unlink()
    same_files(bundle, exported)
    assert vbench("migrate", bundle).out == f"{bundle / MANIFEST}: bundle, schema 4, already current\n"


def test_all_precisions(tiny_quantized_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    bundle = to_step_parts(copied(tiny_quantized_bundle.path, tmp_path / "bundle"))
    migrate_target(bundle, merge_steps)
    same_files(bundle, tiny_quantized_bundle.path)
    same_predictions(bundle, tiny_quantized_bundle.path, precision="fp32")
    same_predictions(bundle, tiny_quantized_bundle.path, precision="int8")


def test_gate_sets(vbench: Vbench, old: Path) -> None:
    """A second set has the same gates at other steps."""

    def add_set(content: dict[str, Any]) -> None:
        parts, source = content["parts"], content["source"]
        parts["gate_02__two"], parts["gate_03__two"] = parts["gate_03"], parts["gate_02"]
        content["gate_sets"] = {name: {**GATE_SET, "suffix": suffix, "source": source} for name, suffix in SETS.items()}

    edit(old, add_set)
    assert vbench("migrate", old).out.endswith("8 parts -> gates, gates__two, classifiers\n")
    manifest = manifest_of(old)
    assert manifest.parts["gates__two"].parameters == 2 * (24 * 8 + 8 + 8 * 8 + 8 + 16 + 1)
    one, two = (
        {tensor.name: numpy_helper.to_array(tensor, str(old / "fp32")) for tensor in onnx.load(path).graph.initializer}
        for path in (old / "fp32" / "gates.onnx", old / "fp32" / "gates__two.onnx")
    )
    assert np.ptp(one["conv1_weight_2"]) > 0
    for layer in ("conv1", "conv2", "linear"):
        np.testing.assert_array_equal(two[f"{layer}_weight_2"], one[f"{layer}_weight_3"])
        np.testing.assert_array_equal(two[f"{layer}_weight_3"], one[f"{layer}_weight_2"])
    assert manifest.weights["fp32"].size_bytes == (old / "fp32" / "weights.bin").stat().st_size
    load(old, gates="two").predict(np.zeros((4, 40, 50, 3), np.uint8))


def test_a_network_without_gates(vbench: Vbench, tmp_path: Path) -> None:
    expected = export(tmp_path, tiny_network(TWO_FRAMES))
    bundle = to_step_parts(copied(expected, tmp_path / "copy"))
    assert vbench("migrate", bundle).out.endswith("2 parts -> classifiers\n")
    same_files(bundle, expected)


def test_a_check_keeps_the_largest_difference(old: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        parts = content["checks"]["fp32"]["parts"]
        parts["gate_02"] = {"absolute": 0.25, "relative": 0.125}
        for step in ("classifier_01", "classifier_02", "classifier_03", "classifier_04"):
            del parts[step]

    edit(old, change)
    migrate_target(old, merge_steps)
    parts = manifest_of(old).checks["fp32"].parts
    assert set(parts) == {"preprocess", "backbone", "accumulator", "gates"}
    assert (parts["gates"].absolute, parts["gates"].relative) == (0.25, 0.125)


def test_a_link_to_a_bundle(vbench: Vbench, old: Path, exported: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(old)
    assert vbench("migrate", link).code == 0
    assert link.is_symlink()
    same_files(old, exported)


def test_nothing_outside_the_bundle_is_removed(vbench: Vbench, old: Path, exported: Path, tmp_path: Path) -> None:
    before = contents(old)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / MANIFEST).write_bytes((exported / MANIFEST).read_bytes())
    (linked / "fp32").symlink_to(old / "fp32")
    assert vbench("migrate", linked).code == 0
    assert contents(old) == before


@pytest.mark.parametrize("file", ["backbone.onnx", "accumulator.onnx"])
def test_an_incomplete_bundle_is_refused(vbench: Vbench, old: Path, file: str) -> None:
    (old / "fp32" / file).unlink()
    before = contents(old)
    refused(vbench("migrate", old), old / "fp32" / file, "is missing")
    assert contents(old) == before


def test_a_dry_run_writes_nothing(vbench: Vbench, old: Path) -> None:
    before = contents(old)
    line = f"{old / MANIFEST}: bundle, schema 4, {CHANGE} (not written)\n"
    assert vbench("migrate", old, "--dry-run") == Ended(0, line, "")
    (file,) = json.loads(vbench("migrate", old, "--dry-run", "--json").out)["files"]
    assert file == {
        "path": str(old / MANIFEST),
        "kind": "bundle",
        "schema_before": 4,
        "schema_after": 4,
        "changed": True,
        "detail": CHANGE,
    }
    assert contents(old) == before


# packages


def test_migrating_needs_no_torch(old: Path, exported: Path) -> None:
    ended = without("torch", old)
    assert (ended.returncode, ended.stderr) == (0, "")
    same_files(old, exported)


def test_migrating_needs_onnx(old: Path) -> None:
    before = contents(old)
    ended = without("onnx", old)
    assert (ended.returncode, ended.stderr) == (3, "vbench: onnx is not installed; pip install onnx\n")
    assert contents(old) == before


def without(package: str, bundle: Path) -> subprocess.CompletedProcess[str]:
    """Migrate a bundle in a process that lacks a package."""
    code = f"import sys; sys.modules[{package!r}] = None; from vbench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "migrate", str(bundle)]
    return subprocess.run(command, capture_output=True, text=True)


# damage


@pytest.mark.parametrize("name", ["gate_03", "classifier_04"])
def test_an_altered_file(vbench: Vbench, old: Path, name: str) -> None:
    path = old / "fp32" / f"{name}.onnx"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    before = contents(old)
    refused(vbench("migrate", old), path, "has been altered since the export")
    refused(vbench("migrate", old, "--dry-run"), path, "has been altered since the export")
    path.unlink()
    refused(vbench("migrate", old), path, "is missing: the bundle is incomplete")
    assert contents(old) == {name: content for name, content in before.items() if name != f"fp32/{path.name}"}


def test_an_impossible_number_of_steps(vbench: Vbench, old: Path) -> None:
    edit(old, lambda content: content.update(frames=10**12))
    refused(vbench("migrate", old), MANIFEST, "frame_order is not a permutation")
    refused(vbench("inspect", old), OLD)


def test_a_missing_part(vbench: Vbench, old: Path) -> None:
    edit(old, lambda content: content["parts"].pop("gate_02"))
    refused(vbench("migrate", old), MANIFEST, "part gate_02 is missing")


@pytest.mark.parametrize(
    ("part", "other"), [("gate_02", "classifier_01"), ("classifier_02", "gate_02"), ("gate_03", "accumulator")]
)
def test_a_graph_with_other_layers(vbench: Vbench, old: Path, part: str, other: str) -> None:
    edit(old, lambda content: content["parts"][part].update(files=content["parts"][other]["files"]))
    before = contents(old)
    refused(vbench("migrate", old), old, "the graphs of its steps are not those that", "export the checkpoint again")
    assert contents(old) == before


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08"], ids=["empty", "text", "truncated"])
def test_a_file_that_is_not_a_graph(vbench: Vbench, old: Path, content: bytes) -> None:
    replace_graph(old, "gate_02", content)
    refused(vbench("migrate", old), old, "the graphs of its steps are not those that gates can replace")


def test_a_graph_that_refers_to_a_file(vbench: Vbench, old: Path) -> None:
    model = onnx.load(old / "fp32" / "classifier_02.onnx")
    onnx.save(model, old / "fp32" / "classifier_02.onnx", save_as_external_data=True, location="x", size_threshold=0)
    replace_graph(old, "classifier_02", (old / "fp32" / "classifier_02.onnx").read_bytes())
    refused(vbench("migrate", old), "classifier_02.onnx refers to a weights file that is not in the manifest")


def test_a_graph_that_cannot_run(vbench: Vbench, old: Path) -> None:
    model = onnx.load(old / "fp32" / "gate_02.onnx")
    model.graph.node[-1].op_type = "Unknown"
    replace_graph(old, "gate_02", model.SerializeToString())
    before = contents(old)
    refused(vbench("migrate", old), old, "the graphs of its steps are not those that gates can replace")
    assert contents(old) == before


def test_a_difference_is_an_error(vbench: Vbench, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = contents(old), migrate._weights

    def wrong(graph: onnx.GraphProto) -> Any:
        weights = dict(read(graph))
        if graph.name == "gate_03":
            weights["conv2.bias"] = weights["conv2.bias"] + np.float32(1e-3)
        return weights

    monkeypatch.setattr(migrate, "_weights", wrong)
    ended = vbench("migrate", old)
    assert (ended.code, ended.err.count("\n")) == (CheckError.exit_code, 1)
    assert "the part gates differs by" in ended.err
    assert contents(old) == before


# faults


def test_a_read_only_folder(vbench: Vbench, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opens = contents(old), os.open

    def refuse(path: Path, flags: int, *args: int, **options: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return opens(path, flags, *args, **options)

    monkeypatch.setattr("vbench.files.os.open", refuse)
    refused(vbench("migrate", old), f"cannot write {old / MANIFEST}: Read-only file system")
    assert contents(old) == before


def test_a_current_bundle_may_be_read_only(
    vbench: Vbench, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_options: bool) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    bundle = copied(exported, tmp_path / "bundle")
    monkeypatch.setattr(Path, "unlink", refuse)
    assert vbench("migrate", bundle).out.endswith("already current\n")
    (bundle / "fp32" / "gate_02.onnx").touch()  # left by an interrupted migration
    refused(vbench("migrate", bundle), f"cannot write {bundle / 'fp32' / 'gate_02.onnx'}: Read-only file system")


def test_a_full_disk(old: Path) -> None:
    before = contents(old)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MissingError, match="no space left on the disk"):
            migrate_target(old, merge_steps)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(old) == before


def test_an_interruption_at_any_write(
    old: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file is moved or removed next, the bundle opens or can be migrated, and then nothing is left behind."""
    points = 5 + 1 + 6  # graphs and weights, the manifest, and the old graphs
    for point in range(points + 1):
        bundle = copied(old, tmp_path / f"copy-{point}")
        with monkeypatch.context() as patched:
            remaining = iter(range(point))
            for name in ("replace", "unlink"):
                patched.setattr(Path, name, stopping(getattr(Path, name), remaining))
            if point < points:
                with pytest.raises(KeyboardInterrupt):
                    migrate_target(bundle, merge_steps)
            else:
                migrate_target(bundle, merge_steps)
        if sha256(bundle / MANIFEST) != sha256(old / MANIFEST):
            open_bundle(bundle).check_files()
        migrate_target(bundle, merge_steps)
        same_files(bundle, exported)


def stopping(method: Callable[..., object], remaining: Any) -> Callable[..., object]:
    """Return a method that is interrupted when no call remains; temporary files may still be removed."""

    def call(path: Path, *args: Any, **kwargs: Any) -> object:
        removes_temporary = method.__name__ == "unlink" and path.name.startswith(".")
        if not removes_temporary and next(remaining, None) is None:
            raise KeyboardInterrupt
        return method(path, *args, **kwargs)

    return call
