"""Bundles of frame-flexible networks: contents in both weight layouts, and rejected inputs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.ffn2d import TINY_TSM, authors_file, tiny
from tests.marks import slow_except
from vbench.errors import BundleError, CheckError, CheckpointError, UsageError, VbenchError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.graph.shared_weights import WEIGHTS_FILE
from vbench.export.graph.torch_to_onnx import trace_parts
from vbench.export.verify.verify import verify_counts
from vbench.files import sha256
from vbench.models.ffn.tsm import Tsm
from vbench.models.part import Part
from vbench.runtime.bundle.bundle import MANIFEST, Bundle, open_bundle
from vbench.runtime.bundle.manifest import FlexibleManifest
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.load import load
from vbench.runtime.policies.first_threshold import DatasetDefaults

FAMILIES = ("tsm", "tea", "slowfast", "uniformer")
FAST_BUNDLES = [("tsm", "folded"), ("tsm", "shared"), ("slowfast", "folded"), ("uniformer", "folded")]
FlexibleBundle = Callable[..., Bundle[FlexibleManifest]]
Checkpoint = Callable[[str], Path]


def weights(bundle: Bundle[FlexibleManifest]) -> int:
    return bundle.manifest.weights["fp32"].size_bytes


def nodes(bundle: Bundle[FlexibleManifest], part: str) -> list[str]:
    return [node.op_type for node in onnx.load(bundle.part_file(part, "fp32"), load_external_data=False).graph.node]


@pytest.mark.parametrize(
    ("family", "layout"),
    slow_except(FAST_BUNDLES, [(family, layout) for family in FAMILIES for layout in ("folded", "shared")]),
)
def test_bundle_content(flexible_bundle: FlexibleBundle, family: str, layout: str) -> None:
    bundle = flexible_bundle(family, layout)
    manifest = bundle.manifest
    assert open_bundle(bundle.path).manifest == manifest
    forms = 2 if family == "uniformer" else 1  # only Uniformer has depthwise 3D convolutions
    assert bundle.check_files() == forms * len(manifest.frame_counts) + 2
    assert (manifest.architecture, manifest.layout, manifest.classes) == (family, layout, 5)
    assert manifest.family == "frame_counts"
    assert manifest.views == (3 if family == "uniformer" else 1)
    expected = {"preprocess", *(f"frames_{count:02d}" for count in manifest.frame_counts)}
    assert set(manifest.parts) == expected == set(manifest.checks["fp32"].parts)
    assert manifest.checks["fp32"].classes_changed == 0
    branches = {"slowfast": (16, 16, 16)}.get(family, (4, 4, 8, 8))
    assert manifest.branches == branches
    for count in manifest.frame_counts:
        part = manifest.parts[f"frames_{count:02d}"]
        size = manifest.preprocessing.input_size
        assert part.inputs[0].shape == ("n", count, 3, size, size)
        assert part.macs > 0
        graph = onnx.load(bundle.part_file(f"frames_{count:02d}", "fp32"), load_external_data=False)
        assert not {"BatchNormalization", "If", "Where"} & {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("family", slow_except(["tsm"], FAMILIES))
def test_layouts_give_the_same_answers(flexible_bundle: FlexibleBundle, family: str) -> None:
    folded, shared = (load(flexible_bundle(family, layout).path, "ort") for layout in ("folded", "shared"))
    clip = np.random.default_rng(0).integers(0, 256, (30, 70, 90, 3), np.uint8)
    for count in flexible_bundle(family).manifest.frame_counts:
        one, other = (network.predict(clip, frames=count).logits for network in (folded, shared))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
        assert np.ptp(one) > 0.01


@pytest.mark.parametrize("family", slow_except(["tsm"], FAMILIES))
def test_shared_layout_stores_convolutions_once(
    flexible_bundle: FlexibleBundle, flexible_checkpoint: Checkpoint, tmp_path: Path, family: str
) -> None:
    bundle = flexible_bundle(family, "shared")
    largest = bundle.manifest.frame_counts[-1]
    options = ExportOptions(input_size=bundle.manifest.preprocessing.input_size, frames=(largest,), layout="shared")
    alone = export_checkpoint(flexible_checkpoint(family), tmp_path / "one", options)
    assert isinstance(alone.manifest, FlexibleManifest)
    assert weights(bundle) == alone.manifest.weights["fp32"].size_bytes


@pytest.mark.slow
def test_folded_weights_are_those_of_a_branch(flexible_bundle: FlexibleBundle) -> None:
    one_branch, two_branches = (weights(flexible_bundle(family)) for family in ("slowfast", "tsm"))
    assert one_branch == pytest.approx(weights(flexible_bundle("slowfast", "shared")), rel=0.1)
    assert two_branches == pytest.approx(2 * weights(flexible_bundle("tsm", "shared")), rel=0.1)


def test_the_adaptation_costs_nothing_once_folded(flexible_bundle: FlexibleBundle) -> None:
    multiplications = [
        nodes(flexible_bundle("tsm", layout), "frames_04").count("Mul") for layout in ("folded", "shared")
    ]
    blocks = sum(TINY_TSM.blocks)
    assert multiplications[0] == 0
    assert multiplications[1] >= blocks  # the adaptations, and norms that are no longer part of a convolution


def test_swapped_branch_is_detected(
    flexible_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, traced = tiny(Tsm), []

    def swapped(parts: list[Part], *args: Any) -> Any:
        """Trace the other branch; the reference uses the right one."""
        (part,) = parts
        frames = {"frames_04": 4, "frames_08": 8}[part.name]
        traced.append(frames)
        return trace_parts([replace(part, module=network.at(frames, {4: 8, 8: 4}[frames]))], *args)

    monkeypatch.setattr("vbench.export.graph.torch_to_onnx.trace_parts", swapped)
    with pytest.raises(CheckError, match=r"frames_0\d differs from PyTorch by"):
        export_checkpoint(flexible_checkpoint("tsm"), tmp_path / "b", ExportOptions(input_size=32, frames=(4, 8)))
    assert traced == [4, 8]
    assert not (tmp_path / "b").exists()


def test_another_class_fails_the_check(flexible_bundle: FlexibleBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = flexible_bundle("tsm")
    engine = load_engine("ort", bundle, EngineOptions())
    run = engine.run

    def turned(part: str, *inputs: Any, out: Any = None) -> Any:
        actual = run(part, *inputs, out=out)
        return actual if part == "preprocess" else actual[:, ::-1]

    reference = load_engine("torch", bundle, EngineOptions())
    monkeypatch.setattr(engine, "run", turned)
    with pytest.raises(CheckError, match="frames_02 differs from PyTorch by"):
        verify_counts(bundle.manifest, reference, engine, 1e-4)
    with pytest.raises(CheckError, match="classes differ"):
        verify_counts(bundle.manifest, reference, engine, 1e9)


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("tsm", {"frames": (0,)}, "cannot run at 0 frames; choose a count from 1 to 128"),
        ("tsm", {"frames": (4, 1000)}, "cannot run at 1000 frames; choose a count from 1 to 128"),
        ("tsm", {"frames": (4, 4)}, "pass one or more distinct counts"),
        ("slowfast", {"frames": (6,)}, "cannot run at 6 frames; choose a multiple of 4"),
        (
            "tsm_plain",
            {},
            "does not record the frame counts it was trained with; specify the frame counts to run it at",
        ),
        ("tsm", {"dataset": DatasetDefaults("sthv1")}, "no defaults that depend on the data set sthv1"),
        ("tsm", {"layout": "thin"}, "unknown weight layout 'thin'; choose one of folded, shared"),
        ("tsm", {"frames": (4,), "max_error": 1e-12}, "differs from PyTorch by"),
    ],
)
def test_unsupported_options(
    flexible_checkpoint: Checkpoint, tmp_path: Path, family: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((UsageError, CheckError)) as caught:
        export_checkpoint(flexible_checkpoint(family), tmp_path / "b", ExportOptions(**{"input_size": 32, **options}))
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"frames": (4, 8)}, {"layout": "shared"}])
def test_frame_counts_for_a_frameexit_checkpoint(
    tiny_checkpoint: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError, match=r"holds a frameexit_.*, which has no .* to choose from; omit --frames"):
        export_checkpoint(tiny_checkpoint, tmp_path / "b", ExportOptions(input_size=32, **options))


@pytest.mark.slow
def test_a_plain_network_has_one_branch_for_all(flexible_checkpoint: Checkpoint, tmp_path: Path) -> None:
    options = ExportOptions(input_size=32, frames=(16, 4))
    manifest = export_checkpoint(flexible_checkpoint("tsm_plain"), tmp_path / "b", options).manifest
    assert isinstance(manifest, FlexibleManifest)
    assert (manifest.frame_counts, manifest.branches) == ((4, 16), (0, 0))
    assert manifest.network.startswith("tsm_resnet")


@pytest.mark.slow
def test_frame_counts_of_the_checkpoint(flexible_checkpoint: Checkpoint, tmp_path: Path) -> None:
    manifest = export_checkpoint(flexible_checkpoint("tsm"), tmp_path / "b", ExportOptions(input_size=32)).manifest
    assert isinstance(manifest, FlexibleManifest)
    assert manifest.frame_counts == manifest.branches == (4, 8, 16)


def broken_file(way: str, folder: Path) -> Path:
    state = dict(tiny(Tsm).state_dict())
    if way == "shape":
        state["base_model.layer2.0.bn1_8.weight"] = torch.zeros(3)
    path = authors_file(state, folder / "ckpt.pth.tar")
    if way == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    return path


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("shape", r"1 of a different shape or type \(base_model.layer2.0.bn1_8.weight is float32 \[3\] but should be"),
        ("truncated", "is not a PyTorch checkpoint, or is truncated or damaged"),
    ],
)
def test_a_broken_checkpoint(tmp_path: Path, way: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        export_checkpoint(broken_file(way, tmp_path), tmp_path / "b", ExportOptions(input_size=32))
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt.pth.tar"]


@pytest.fixture
def folder(flexible_bundle: FlexibleBundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(flexible_bundle("tsm", "shared").path, tmp_path / "bundle"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def refusal(folder: Path) -> str:
    with pytest.raises(VbenchError) as caught:
        load_engine("ort", open_bundle(folder), EngineOptions())
    assert isinstance(caught.value, BundleError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_altered_or_missing_weights(folder: Path) -> None:
    file = folder / "fp32" / WEIGHTS_FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "altered since the export" in refusal(folder)
    file.unlink()
    assert "is missing: the bundle is incomplete" in refusal(folder)


def test_weights_missing_from_the_manifest(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(weights={}))
    assert "refers to a weights file that is not in the manifest" in refusal(folder)


@pytest.mark.parametrize("name", ["../weights.bin", "frames_04.onnx", "weights.bin2"])
def test_a_graph_that_refers_to_another_file(folder: Path, name: str) -> None:
    path = folder / "fp32" / "frames_04.onnx"
    model = onnx.load(path, load_external_data=False)
    referring = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    next(entry for entry in referring.external_data if entry.key == "location").value = name
    path.write_bytes(model.SerializeToString())
    digest, size = sha256(path), path.stat().st_size
    edit(folder, lambda m: m["parts"]["frames_04"]["files"]["fp32"].update(sha256=digest, size_bytes=size))
    assert "refers to a weights file that is not in the manifest" in refusal(folder)


def test_a_second_value_behind_the_first(folder: Path) -> None:
    """Protobuf uses the last of two values."""
    path = folder / "fp32" / "frames_04.onnx"
    content = path.read_bytes()
    value = b"\x12\x0bweights.bin"
    entry = b"\x6a" + bytes([10 + len(value)]) + b"\x0a\x08location" + value
    assert content.count(entry) > 3
    longer = b"\x6a" + bytes([10 + 2 * len(value)]) + b"\x0a\x08location" + value + b"\x12\x0b/etc/passwd"
    path.write_bytes(content.replace(entry, longer, 1))
    digest, size = sha256(path), path.stat().st_size
    edit(folder, lambda m: m["parts"]["frames_04"]["files"]["fp32"].update(sha256=digest, size_bytes=size))
    assert "refers to a weights file that is not in the manifest" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(frame_counts=[8, 4, 2, 6]), "frame_counts must be non-empty and strictly ascending"),
        (lambda m: m.update(branches=[4]), "branches must have exactly one entry per frame count"),
        (lambda m: m["parts"].pop("frames_06"), "part frames_06 is missing"),
        (
            lambda m: m.update(family="i3d"),
            "this vbench has no network family 'i3d', only frameexit, frame_counts",
        ),
        (lambda m: m.pop("sampling"), "sampling: Field required"),
        (
            lambda m: m.update(weights={"int8": m["weights"]["fp32"]}),
            "weights lists files for precisions that the bundle does not have",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself(
    folder: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    edit(folder, change)
    assert words in refusal(folder)
