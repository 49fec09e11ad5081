"""Running without torch, and the allowed import directions between layers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.run.test_run import save_dataset
from tests.source_imports import LAYERS, ROOT, imports
from vbench.runtime.bundle.bundle import Bundle

MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
MAY_IMPORT = {
    "models": set(),
    "runtime": {"models"},
    "export": {"models", "runtime"},
    "bench": {"runtime"},
    "plots": {"bench"},
    "fit": {"models", "export", "bench"},
    "cli": {"plots", "bench", "fit", "export", "runtime"},
}
EXPORT_ONLY = {"torch", "torchvision", "onnx", "onnxscript", "onnx_ir", "sklearn"}
BLOCK = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXPORT_ONLY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
PREDICT = """
import numpy as np
import vbench
try:
    import torch
    raise SystemExit("torch is installed: this test would be meaningless")
except ModuleNotFoundError:
    pass
net = vbench.load(sys.argv[1], engine="ort")
result = net.predict(np.full((10, 40, 50, 3), 128, np.uint8))
print(result.label, result.exit_step, result.probabilities.sum().round(3))
"""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_are_found() -> None:
    found = {
        (found.name, found.lazy, found.typing_only)
        for found in imports(ROOT / "runtime" / "engines" / "pytorch" / "engine.py")
    }
    assert ("vbench.models.checkpoint.recognize.load_network", True, False) in found
    assert ("torch", True, False) in found
    assert ("torch.nn", False, True) in found
    assert ("vbench.errors.BundleError", False, False) in found
    assert {path.parent.name for path in MODULES} >= {"export", "cli", "runtime", "datasets", "engines", "figures"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_layers(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    for found in imports(path):
        if found.name.startswith("vbench.files."):
            continue  # every layer may write files atomically
        where = f"{name(path)}:{found.line} imports {found.name}"
        assert found.layer in {None, layer, *MAY_IMPORT[layer]}, where
        assert not found.name.startswith("tests"), where
        if layer == "runtime" and found.layer == "models":
            assert name(path) == "runtime/engines/pytorch/engine.py", where
            assert found.lazy, where


@pytest.mark.parametrize(
    "path", [path for path in MODULES if name(path).split("/")[0] not in ("models", "export", "fit")], ids=name
)
def test_torch_and_onnx_are_imported_lazily_if_at_all(path: Path) -> None:
    engine = name(path) in (
        "runtime/engines/pytorch/engine.py",
        "runtime/engines/pytorch/gpu.py",
        "runtime/doctor/probe_torch.py",
    )
    for found in imports(path):
        where = f"{name(path)}:{found.line} imports {found.name}"
        if found.name.partition(".")[0] in EXPORT_ONLY and not found.typing_only:
            assert found.lazy, where
            assert engine or "sklearn" in found.name, where
        if found.layer == "export":
            assert found.lazy or found.typing_only, where


def without_torch(code: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code, *map(str, args)], capture_output=True, text=True)


def test_predicts_without_torch(tiny_bundle: Bundle) -> None:
    ended = without_torch(PREDICT, tiny_bundle.path)
    assert (ended.returncode, ended.stderr) == (0, "")
    label, step, total = ended.stdout.split()
    assert 0 <= int(label) < 5
    assert 1 <= int(step) <= 10
    assert float(total) == 1


def test_runs_a_data_set_without_torch(tiny_bundle: Bundle, tmp_path: Path) -> None:
    data, run = save_dataset(tmp_path / "data"), tmp_path / "run"
    args = ("run", tiny_bundle.path, "--engine", "ort", "--dataset", "folder", "--data", data, "-o", run, "--json")
    ended = without_torch("from vbench.cli.main import main; main()", *args)
    assert ended.returncode == 0, ended.stderr
    metrics = json.loads(ended.stdout)["metrics"]
    assert (metrics["videos"], metrics["errors"]) == (10, 1)
    assert (run / "predictions.parquet").is_file()
    ended = without_torch("from vbench.cli.main import main; main()", "inspect", tiny_bundle.path)
    assert (ended.returncode, ended.stderr) == (0, "")
