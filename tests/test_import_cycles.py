"""Imports between vbench's modules are acyclic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.source_imports import LAYERS, ROOT, imports, sources

MODULES = sorted([*ROOT.glob("*.py"), *(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))])
Graph = Mapping[str, set[str]]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def graph(folder: Path, *, lazy: bool) -> Graph:
    """Return the imports between modules below ``folder``: at import time, or with ``lazy`` also inside functions."""
    modules = [path for path in MODULES if path.is_relative_to(folder)]
    found = {name(path): set[str]() for path in modules}
    for path in modules:
        for each in imports(path):
            if not each.typing_only and (lazy or not each.lazy):
                found[name(path)] |= {name(source) for source in sources(each.name)} & found.keys()
        found[name(path)].discard(name(path))
    return found


def cycles(edges: Graph) -> list[set[str]]:
    """Return the groups of modules that all reach one another."""
    reached = {module: set(_reached(edges, module)) for module in edges}
    mutual = (frozenset(other for other in found if module in reached[other]) for module, found in reached.items())
    return [set(group) for group in sorted(set(mutual), key=sorted) if group]


def _reached(edges: Graph, module: str) -> Iterator[str]:
    seen, waiting = set[str](), list(edges[module])
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            yield found
            waiting += edges[found]


def test_cycles_are_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}) == [{"b", "c"}]
    assert cycles({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}) == [{"a", "b"}, {"c", "d"}]
    edges = graph(ROOT, lazy=False)
    assert "runtime/engines/options.py" in edges["runtime/engines/base.py"]
    assert "runtime/engines/ort/load.py" not in edges["runtime/engines/options.py"], "it is imported on use"
    assert {"bench/doctor/diagnose.py", "errors.py", "export/exporter.py", "cli/main.py"} <= edges.keys()


def test_no_cycles() -> None:
    assert cycles(graph(ROOT, lazy=False)) == []


@pytest.mark.parametrize("folder", ["engines", "video", "doctor", "telemetry"])
def test_no_cycles_among_lazy_imports(folder: str) -> None:
    assert cycles(graph(ROOT / "runtime" / folder, lazy=True)) == []
