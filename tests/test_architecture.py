"""The packages of vbench: what each may import, what it re-exports, and that the wheel holds all of them."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.source_imports import LAYERS, ROOT, imports, sources

# What each unit (a package, or a module right below a layer) may import, eagerly or lazily. Everything else of vbench's
# layers is refused. One of bench is reserved for a package to come.
MAY_IMPORT = {
    "runtime/families": set(),
    "runtime/bundle": {"runtime/families"},
    "runtime/telemetry": set(),
    "runtime/video": set(),
    "runtime/policies": {"runtime/bundle"},
    "runtime/preprocess": {"runtime/bundle"},
    "runtime/engines": {
        *("runtime/bundle", "runtime/families", "runtime/preprocess", "runtime/telemetry", "models/checkpoint"),
    },
    "runtime/measurements": {"runtime/bundle", "runtime/telemetry"},
    "runtime/engine_choice": {
        *("runtime/bundle", "runtime/engines", "runtime/families", "runtime/measurements", "runtime/policies"),
        "runtime/telemetry",
    },
    "runtime/inputs": {"runtime/bundle", "runtime/engines", "runtime/video"},
    "runtime/scheduler": {"runtime/bundle", "runtime/inputs", "runtime/policies", "runtime/telemetry"},
    "runtime/networks": {
        *("runtime/bundle", "runtime/engines", "runtime/families", "runtime/inputs", "runtime/policies"),
        *("runtime/measurements", "runtime/scheduler", "runtime/telemetry"),
    },
    "runtime/load": {
        *("runtime/bundle", "runtime/engine_choice", "runtime/engines", "runtime/families", "runtime/networks"),
        "runtime/policies",
    },
    "runtime/doctor": {"runtime/engines", "runtime/telemetry"},
    "bench/stats": set(),
    "bench/datasets": {"runtime/bundle", "runtime/inputs", "runtime/telemetry", "runtime/video"},
    "bench/records": {
        *(
            "bench/datasets",
            "bench/stats",
            "runtime/bundle",
            "runtime/engines",
            "runtime/policies",
            "runtime/scheduler",
            "runtime/telemetry",
        ),
    },
    "bench/trace": {
        *("bench/datasets", "bench/records", "bench/stats", "runtime/bundle", "runtime/networks", "runtime/policies"),
    },
    "bench/features": {"bench/records", "runtime/bundle", "runtime/policies", "runtime/scheduler"},
    "bench/run": {
        *(
            "bench/datasets",
            "bench/features",
            "bench/records",
            "bench/trace",
            "runtime/bundle",
            "runtime/engine_choice",
            "runtime/families",
            "runtime/inputs",
        ),
        *("runtime/load", "runtime/networks", "runtime/policies", "runtime/telemetry", "runtime/video"),
    },
    "bench/compare": {
        "bench/benchmark",
        *("bench/records", "bench/run", "bench/stats", "runtime/bundle", "runtime/engine_choice", "runtime/engines"),
        "runtime/families",
        *("runtime/policies", "runtime/telemetry"),
    },
    "bench/sweep": {
        *("bench/datasets", "bench/records", "bench/stats", "bench/trace", "runtime/families", "runtime/policies"),
    },
    "bench/explain": {
        *("bench/datasets", "bench/records", "bench/run", "runtime/bundle", "runtime/engine_choice"),
        *("runtime/families", "runtime/inputs", "runtime/load", "runtime/networks", "runtime/policies"),
        *("runtime/scheduler", "runtime/video"),
    },
    "bench/migrate": {
        *("bench/datasets", "bench/records", "bench/trace", "runtime/bundle", "runtime/policies"),
        "runtime/scheduler",
    },
    "bench/doctor": {"bench/datasets", "bench/records", "runtime/doctor"},
    "plots/runs": {"bench/records"},
    "plots/published": set(),
    "plots/figures": {"plots/runs", "plots/published", "bench/benchmark", "bench/stats", "bench/sweep"},
    "plots/report": {
        *("plots/figures", "plots/runs", "bench/benchmark", "bench/compare", "bench/records", "bench/sweep"),
        "bench/trace",
    },
    "plots/film": {"plots/figures", "bench/explain"},
    "models/part": set(),
    "models/preprocess": {"models/part"},
    "models/network": {"models/part", "models/preprocess"},
    "models/registry": set(),
    "models/resnet": set(),
    "models/checkpoint": {"models/network", "models/registry"},
    "models/frameexit": {
        *("models/checkpoint", "models/network", "models/part", "models/preprocess", "models/registry"),
        *("models/resnet", "models/x3d"),
    },
    "models/x3d": {"models/checkpoint", "models/ffn", "models/network", "models/part", "models/preprocess"},
    "models/ffn": {"models/checkpoint", "models/network", "models/part", "models/preprocess", "models/resnet"},
    "export/graph": {"models/ffn", "models/part", "runtime/bundle"},
    "export/heads": {
        *("export/graph", "export/verify", "models/frameexit", "models/part", "runtime/bundle"),
        "runtime/engines",
    },
    "export/preprocess": {"export/graph", "models/preprocess"},
    "export/precision": {"export/graph", "runtime/bundle", "runtime/engines", "runtime/telemetry"},
    "export/verify": {"runtime/bundle", "runtime/engines", "runtime/networks", "runtime/policies"},
    "export/options": {"export/graph", "runtime/bundle", "runtime/policies"},
    "export/family": {"runtime/bundle", "runtime/policies"},
    "export/frameexit": {
        *("export/family", "export/gate_sets", "export/graph", "export/heads", "export/precision"),
        "export/preprocess",
        *("export/verify", "runtime/bundle", "runtime/engines", "runtime/families", "runtime/policies"),
    },
    "export/gate_sets": {"models/checkpoint", "runtime/bundle"},
    "export/frame_counts": {
        *("export/family", "export/graph", "export/precision", "export/preprocess", "export/verify"),
        *("runtime/bundle", "runtime/engines", "runtime/policies"),
    },
    "export/exporter": {
        *("export/family", "export/options", "export/precision", "models/checkpoint", "models/network"),
        "runtime/bundle",
    },
    "export/triton": {
        *("export/family", "runtime/bundle", "runtime/engines", "runtime/families", "runtime/inputs"),
        *("runtime/networks", "runtime/policies", "runtime/scheduler"),
    },
    "bench/benchmark": {
        *("bench/datasets", "bench/records", "bench/run", "bench/stats", "runtime/bundle", "runtime/doctor"),
        *("runtime/engines", "runtime/families", "runtime/inputs", "runtime/load", "runtime/networks"),
        *("runtime/policies", "runtime/scheduler", "runtime/telemetry", "runtime/video"),
    },
    "bench/distributed": {
        *("bench/datasets", "bench/records", "bench/run", "runtime/bundle", "runtime/engines", "runtime/load"),
        *("runtime/networks", "runtime/policies", "runtime/scheduler"),
    },
    "fit/labels": set(),
    "fit/batches": set(),
    "fit/gates": {"models/frameexit", "models/network"},
    "fit/fitting": {"fit/batches", "fit/gates", "models/network"},
    "fit/checkpoint_file": {"models/checkpoint"},
    "fit/packed": {"fit/checkpoint_file", "models/checkpoint", "models/frameexit"},
    "fit/held_out": {"bench/features", "bench/records", "bench/stats"},
    "fit/fit_gates": {
        *("bench/datasets", "bench/features", "fit/batches", "fit/checkpoint_file", "fit/fitting", "fit/held_out"),
        *("fit/labels", "models/checkpoint", "models/frameexit", "models/network"),
    },
}
UNITS = sorted(
    {
        path
        for layer in LAYERS
        if layer != "cli"
        for path in (ROOT / layer).iterdir()
        if path.name not in ("__init__.py", "__pycache__", "demo")
        and (path.suffix == ".py" or (path / "__init__.py").is_file())
    }
)


def unit_name(path: Path) -> str:
    """Return the unit that a file belongs to, ``layer/name``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "/".join(parts[:2])


def unit_of_import(name: str) -> str | None:
    """Return the unit that an imported name belongs to, None outside the layers and for vbench's root modules."""
    files = list(sources(name))
    if not files or len(files[-1].relative_to(ROOT).parts) < 2:
        return None
    return unit_name(files[-1])


def files_of(unit: Path) -> list[Path]:
    return [unit] if unit.suffix == ".py" else sorted(unit.rglob("*.py"))


@functools.cache
def dependencies() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for unit in UNITS:
        for path in files_of(unit):
            used = {unit_of_import(each.name) for each in imports(path) if not each.typing_only}
            found[unit_name(path)] |= {other for other in used if other} - {unit_name(path)}
    return found


@pytest.mark.parametrize("unit", UNITS, ids=unit_name)
def test_imports_go_one_way(unit: Path) -> None:
    name = unit_name(unit)
    assert name in MAY_IMPORT, f"say what {name} may import"
    wrong = dependencies()[name] - MAY_IMPORT[name]
    assert not wrong, f"{name} imports {sorted(wrong)}"


def test_the_table_has_no_cycle_and_nothing_that_is_gone() -> None:
    names = {unit_name(unit) for unit in UNITS} | {"bench/distributed"}
    assert set(MAY_IMPORT) == names
    waiting = {unit: set(others) & set(MAY_IMPORT) for unit, others in MAY_IMPORT.items()}
    while waiting:
        free = {unit for unit, others in waiting.items() if not others}
        assert free, f"a cycle among {sorted(waiting)}"
        waiting = {unit: others - free for unit, others in waiting.items() if unit not in free}


def test_only_the_command_line_imports_fit() -> None:
    for layer in set(LAYERS) - {"cli", "fit"}:
        for path in (ROOT / layer).rglob("*.py"):
            assert not [each for each in imports(path) if each.name.startswith("vbench.fit")], path


PACKAGES = sorted(path.parent for layer in LAYERS for path in (ROOT / layer).rglob("__init__.py"))


def package_name(folder: Path) -> str:
    return ".".join(("vbench", *folder.relative_to(ROOT).parts))


def test_the_package_list_is_complete() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^packages = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    listed = re.findall(r'"(vbench[\w.]*)"', block[1])
    assert listed == sorted(["vbench", *map(package_name, PACKAGES)])


@pytest.mark.parametrize("folder", PACKAGES, ids=package_name)
def test_a_package_states_its_purpose_and_re_exports_lazily(folder: Path) -> None:
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{package_name(folder)} does not say what it is for"
    typed = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.If)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_exports"]
    exported = {
        name.value
        for call in calls
        for keyword in call.keywords
        for name in ast.walk(keyword.value)
        if isinstance(name, ast.Constant)
    }
    assert exported == typed, "type checkers and Python see the same names"
    modules = {path.stem for path in folder.iterdir()}
    assert not exported & modules, "a name cannot be a module and something else"
    package = importlib.import_module(package_name(folder))
    for name in exported:
        assert getattr(package, str(name)).__class__ is not type(sys), f"{name} is a module, not what it should be"


def test_importing_the_packages_imports_nothing_heavy() -> None:
    code = f"""
import sys
for name in {[package_name(folder) for folder in PACKAGES]}:
    __import__(name)
heavy = {{"torch", "onnx", "onnxruntime", "polars", "matplotlib", "av", "numpy", "pydantic"}}
print(*sorted(heavy & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []
