"""Opening bundles: incomplete or altered ones are rejected with a one-line reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import vbench
from vbench.errors import BundleError, EngineError
from vbench.files import sha256
from vbench.runtime.bundle.bundle import MANIFEST, Bundle, only_bundle, open_bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.graph_check import graph_files

Content = dict[str, Any]
FILES = 8  # five parts, two of which have another form for GPUs, and the weights of these two
DETAILS = {
    "parts": ["backbone"],
    "weights": "int8",
    "activations": "int8",
    "granularity": "per tensor",
    "converted": {"Conv": 1},
    "kept": {},
    "weights_flushed_to_zero": 0,
    "calibration": None,
    "tool": "none",
    "version": "0",
}


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that tests may damage."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


def edit(folder: Path, change: Callable[[Content], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def replace_part(folder: Path, part: str, content: bytes) -> None:
    """Replace the graph of a part, with the correct digest."""
    path = folder / "fp32" / f"{part}.onnx"
    path.write_bytes(content)
    file = {"path": f"fp32/{part}.onnx", "size_bytes": len(content), "sha256": sha256(path)}
    edit(folder, lambda manifest: manifest["parts"][part].update(files={"fp32": file}))


def refusal(action: Callable[[], object], *words: str | Path) -> str:
    with pytest.raises(BundleError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.hint
    for word in words:
        assert str(word) in text
    return text


def test_a_complete_bundle_opens(folder: Path, tiny_bundle: Bundle) -> None:
    bundle = open_bundle(folder)
    assert bundle.manifest == tiny_bundle.manifest
    assert bundle.name == "bundle"
    assert bundle.check_files() == FILES
    assert bundle.digest == sha256(folder / MANIFEST)
    assert bundle.part_file("gates", "fp32") == folder / "fp32" / "gates.onnx"


def test_missing_folder(tmp_path: Path) -> None:
    refusal(lambda: open_bundle(tmp_path / "nothing"), tmp_path / "nothing", "vbench export")


def test_folder_without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    refusal(lambda: open_bundle(folder), folder, MANIFEST)


@pytest.mark.parametrize("keep", [0, 1, 300], ids=["empty", "one byte", "truncated"])
def test_truncated_manifest(folder: Path, keep: int) -> None:
    manifest = folder / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:keep])
    refusal(lambda: open_bundle(folder), manifest, "not valid JSON")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"no json", b"[]", b"null", b"{}", b'"text"'])
def test_manifest_with_other_content(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    refusal(lambda: open_bundle(folder), folder / MANIFEST)


def test_future_schema(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(schema_version=5, something_new=1))
    refusal(lambda: open_bundle(folder), folder / MANIFEST, "schema version 5", "update vbench")


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_older_schema(folder: Path, version: int) -> None:
    edit(folder, lambda manifest: manifest.update(schema_version=version))
    remedy = f"run vbench migrate {folder}" if version == 3 else "export the checkpoint again"
    refusal(lambda: open_bundle(folder), folder / MANIFEST, f"schema version {version}", remedy)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m["parts"]["backbone"].update(surprise=1), "parts.backbone.surprise"),
        (lambda m: m.pop("frames"), "frames"),
        (lambda m: m.update(classes="five"), "classes"),
        (lambda m: m.update(schema_version="4"), "schema_version"),
        (lambda m: m["policy"].update(first_threshold=1.5), "policy.first_threshold"),
        (lambda m: m.pop("family"), "family"),
        (lambda m: m.update(family=7), "family"),
        (lambda m: m["parts"].update({"../gates": m["parts"]["gates"]}), "parts.../gates.[key]"),
        (lambda m: m["parts"].update({"Gate": m["parts"]["gates"]}), "parts.Gate.[key]"),
        (lambda m: m["parts"]["backbone"]["files"]["fp32"].update(sha256="0"), "parts.backbone.files.fp32.sha256"),
    ],
    ids=[
        "unknown",
        "unknown deep",
        "missing",
        "type",
        "schema text",
        "threshold",
        "no family",
        "family type",
        "part with a path",
        "part in capitals",
        "digest",
    ],
)
def test_manifest_that_violates_the_schema(folder: Path, change: Callable[[Content], object], place: str) -> None:
    edit(folder, change)
    refusal(lambda: open_bundle(folder), folder / MANIFEST, f" {place}: ")


@pytest.mark.parametrize("family", ["i3d", "", "frameexit:FAMILY"])
def test_unknown_family(folder: Path, family: str) -> None:
    edit(folder, lambda manifest: manifest.update(family=family))
    words = f"this vbench has no network family {family!r}, only frameexit, frame_counts"
    refusal(lambda: open_bundle(folder), folder / MANIFEST, words, "install the package that adds it")


def test_a_form_in_a_precision_that_the_bundle_lacks(folder: Path) -> None:
    edit(
        folder,
        lambda m: m["parts"]["gates"]["other_forms"].update(ort_cpu={"int8": m["parts"]["gates"]["files"]["fp32"]}),
    )
    words = "part gates has other_forms for precisions that the bundle does not have"
    refusal(lambda: open_bundle(folder), folder / MANIFEST, words)


def test_manifest_of_another_family(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(family="frame_counts"))
    refusal(lambda: open_bundle(folder), folder / MANIFEST, "frame_counts: Field required")


def test_each_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr("vbench.runtime.bundle.bundle.sha256", counted)
    bundle = open_bundle(folder)
    for _ in range(2):
        bundle.check_files()
        load_engine("ort", bundle, EngineOptions())
        graph_files(bundle, "fp32", EngineOptions(), "gpu")
        assert bundle.digest == sha256(folder / MANIFEST)
    assert sorted(read) == sorted([folder / MANIFEST, *(folder / "fp32").iterdir()])


def test_missing_part(folder: Path) -> None:
    (folder / "fp32" / "gates.onnx").unlink()
    bundle = open_bundle(folder)
    for action in (bundle.check_files, lambda: load_engine("ort", bundle, EngineOptions())):
        refusal(action, folder / "fp32" / "gates.onnx", "missing")


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_one_flipped_byte(folder: Path, place: int) -> None:
    path = folder / "fp32" / "backbone.onnx"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    bundle = open_bundle(folder)
    for action in (bundle.check_files, lambda: load_engine("ort", bundle, EngineOptions())):
        refusal(action, path, "altered", "SHA-256")


def test_appended_byte(folder: Path) -> None:
    path = folder / "fp32" / "classifiers.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    refusal(open_bundle(folder).check_files, path, "altered")


@pytest.mark.parametrize("way", ["parent", "absolute", "link", "linked folder"])
def test_part_outside_the_bundle(folder: Path, tmp_path: Path, way: str) -> None:
    inside = folder / "fp32" / "gates.onnx"
    outside = Path(shutil.move(inside, tmp_path / "gates.onnx"))  # with a matching digest
    path = {"parent": "../gates.onnx", "absolute": str(outside), "link": "fp32/gates.onnx"}.get(way, "away/gates.onnx")
    if way == "link":
        inside.symlink_to(outside)
    elif way == "linked folder":
        (folder / "away").symlink_to(tmp_path)
    edit(folder, lambda manifest: manifest["parts"]["gates"]["files"]["fp32"].update(path=path))
    bundle = open_bundle(folder)
    for action in (bundle.check_files, lambda: load_engine("ort", bundle, EngineOptions())):
        refusal(action, folder / MANIFEST, path, "is outside the bundle")


def test_linked_bundle_is_a_bundle(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert open_bundle(tmp_path / "link").check_files() == FILES


def test_unknown_precision(folder: Path) -> None:
    bundle = open_bundle(folder)
    refusal(lambda: bundle.part_file("backbone", "fp16"), folder, "no fp16", "fp32")
    refusal(lambda: load_engine("ort", bundle, EngineOptions(precision="fp16")), folder, "no fp16")


def test_only_bundle(folder: Path, tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    refusal(lambda: only_bundle(bundles), bundles, "no bundle", "vbench export")
    (bundles / "no_bundle").mkdir(parents=True)
    shutil.copytree(folder, bundles / ".unfinished.1")
    refusal(lambda: only_bundle(bundles), bundles, "no bundle")
    shutil.copytree(folder, bundles / "one")
    assert only_bundle(bundles) == bundles / "one"
    shutil.copytree(folder, bundles / "two")
    refusal(lambda: only_bundle(bundles), bundles, "2 bundles (one, two)", "specify which one")


def accumulator(hidden: int, weights: TensorProto) -> onnx.ModelProto:
    """Return a graph with the accumulator's tensors and a weight stored as external data."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", hidden]) for name in ("features", "previous")
    ]
    output = helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", hidden])
    nodes = [helper.make_node("Sum", ["features", "previous", "weights"], ["state"])]
    graph = helper.make_graph(nodes, "accumulator", inputs, [output], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("location", ["../../secret.bin", "../secret.bin", "absolute", "link.bin", "unlisted.bin"])
def test_external_data_is_not_read(folder: Path, tmp_path: Path, location: str) -> None:
    hidden = 24
    values = np.ones(hidden, np.float32)
    for path in (tmp_path / "secret.bin", folder / "secret.bin", folder / "fp32" / "unlisted.bin"):
        values.tofile(path)
    (folder / "fp32" / "link.bin").symlink_to(tmp_path / "secret.bin")
    named = str(tmp_path / "secret.bin") if location == "absolute" else location
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[hidden])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", named), ("offset", "0"), ("length", str(values.nbytes))):
        weights.external_data.add(key=key, value=value)
    replace_part(folder, "accumulator", accumulator(hidden, weights).SerializeToString())
    bundle = open_bundle(folder)
    assert bundle.check_files() == FILES
    refusal(lambda: load_engine("ort", bundle, EngineOptions()), folder / "fp32" / "accumulator.onnx")


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("backbone", lambda spec: spec["output"].update(shape=["n", 25]), ("features", "24", "25")),
        ("gates", lambda spec: spec["inputs"][1].update(shape=["n", 23]), ("previous", "24", "23")),
        ("gates", lambda spec: spec["inputs"].reverse(), ("state", "step")),
        ("classifiers", lambda spec: spec["output"].update(name="scores"), ("logits", "scores")),
        ("classifiers", lambda spec: spec["output"].update(shape=["n"]), ("logits",)),
        ("accumulator", lambda spec: spec["output"].update(dtype="float16"), ("state", "float16")),
        ("accumulator", lambda spec: spec["inputs"].pop(), ("previous",)),
    ],
    ids=["output shape", "input shape", "input order", "name", "rank", "dtype", "count"],
)
def test_graph_that_differs_from_the_manifest(
    folder: Path, part: str, change: Callable[[Content], object], words: tuple[str, ...]
) -> None:
    edit(folder, lambda manifest: change(manifest["parts"][part]))
    refusal(lambda: load_engine("ort", open_bundle(folder), EngineOptions()), folder, part, *words)


def test_part_that_is_not_a_graph(folder: Path) -> None:
    replace_part(folder, "accumulator", b"\x00\x01 not a graph")
    refusal(lambda: load_engine("ort", open_bundle(folder), EngineOptions()), folder / "fp32" / "accumulator.onnx")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"frame_order": [0] * 10}, "frame_order"),
        ({"class_names": ["only one"]}, "class names"),
        ({"parts": {}}, "is missing"),
        ({"precisions": ["fp32", "int8"]}, "the precisions of part"),
        ({"precision_details": {"int8": DETAILS}}, "precision_details"),
    ],
)
def test_manifest_that_contradicts_itself(tiny_bundle: Bundle, tmp_path: Path, change: dict, text: str) -> None:
    content = {**json.loads((tiny_bundle.path / "manifest.json").read_text()), **change}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=text):
        open_bundle(tmp_path)


def test_a_part_that_fails_while_it_runs_is_one_line(folder: Path) -> None:
    """The graph has the right tensors, but selects a column that does not exist."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 24]) for name in ("features", "previous")]
    output = helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", 24])
    nodes = [
        helper.make_node("Gather", ["features", "column"], ["selected"], axis=1),
        helper.make_node("Add", ["selected", "previous"], ["state"]),
    ]
    column = helper.make_tensor("column", TensorProto.INT64, [1], [99])
    graph = helper.make_graph(nodes, "accumulator", inputs, [output], [column])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    replace_part(folder, "accumulator", model.SerializeToString())
    network = vbench.load(folder, engine="ort")
    with pytest.raises(EngineError, match="ONNX Runtime cannot run accumulator: ") as raised:
        network.predict(np.zeros((10, 32, 32, 3), np.uint8))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["x/../../evil", "..", "/evil", "a\\b", "c:x", "nul\0", "UPPER", "dot.", "", "line\n", "a" * 65, "\u202e"]
)
def test_names_from_a_manifest_are_identifiers(folder: Path, name: str) -> None:
    edit(folder, lambda manifest: manifest["parts"].update({name: manifest["parts"]["gates"]}))
    refusal(lambda: open_bundle(folder), folder / MANIFEST, "parts")


@pytest.mark.parametrize("name", ["../../evil", "a/b", "a\\b", "nul\0", ""])
def test_precisions_are_identifiers(folder: Path, name: str) -> None:
    def rename(manifest: Content) -> None:
        manifest["precisions"] = [name]
        for part in manifest["parts"].values():
            part["files"] = {name: part["files"]["fp32"]}

    edit(folder, rename)
    refusal(lambda: open_bundle(folder), folder / MANIFEST)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "fp32/../../x", "a\\..\\x", "c:/x", "loop/x", "a" * 300, "a//b"]
)
def test_paths_from_a_manifest_stay_inside(folder: Path, path: str) -> None:
    (folder / "loop").symlink_to("loop")
    edit(folder, lambda manifest: manifest["parts"]["gates"]["files"]["fp32"].update(path=path))
    refusal(lambda: open_bundle(folder).check_files(), "is outside the bundle")
