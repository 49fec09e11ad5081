"""The imports of vbench's modules, read from the source without importing anything."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("models", "export", "runtime", "bench", "plots", "fit", "cli")


@dataclass(frozen=True)
class Import:
    """One name imported by a module, absolute (``vbench.runtime.bundle.bundle``), with its line."""

    name: str
    line: int
    lazy: bool
    typing_only: bool

    @property
    def layer(self) -> str | None:
        """Layer of vbench that the name belongs to, if any."""
        first, _, rest = self.name.partition(".")
        layer = rest.partition(".")[0]
        return layer if first == "vbench" and layer in LAYERS else None


def imports(path: Path) -> Iterator[Import]:
    package = ("vbench", *path.relative_to(ROOT).parent.parts)
    yield from _imports(ast.parse(path.read_text(encoding="utf-8")), package, lazy=False, typing_only=False)


def _imports(node: ast.AST, package: tuple[str, ...], lazy: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else ()
            start = ".".join((*base, *([child.module] if child.module else [])))
            names = [f"{start}.{alias.name}" for alias in child.names]
        else:
            names = []
            inner_lazy = lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from _imports(child, package, inner_lazy, typing_only or for_types)
        yield from (Import(name, child.lineno, lazy, typing_only) for name in names)


@functools.cache
def source_closure(*entries: str) -> tuple[Path, ...]:
    """Return the source files of vbench imported by modules, transitively and including lazy imports and themselves.

    Args:
        entries: absolute names of modules, such as ``vbench.export.exporter``.
    """
    found: set[Path] = set()
    waiting = [path for entry in entries for path in sources(entry)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            used = (each.name for each in imports(path) if not each.typing_only)
            waiting += [source for name in used for source in sources(name)]
    return tuple(sorted(found))


def sources(name: str) -> Iterator[Path]:
    """Yield the files executed by importing ``name``: its packages, and the module if it is one."""
    first, *rest = name.split(".")
    if first != "vbench":
        return
    folder = ROOT
    yield folder / "__init__.py"
    for part in rest:
        if (folder / f"{part}.py").is_file():
            yield folder / f"{part}.py"
            return
        folder /= part
        if not folder.is_dir():
            return  # a class or a function
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
