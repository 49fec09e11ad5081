"""Find the TensorRT names that a source uses."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGES = frozenset({"tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"})
MODULE_ALIASES = PACKAGES | {"trt", "_trt"}


def names_used(paths: Iterable[Path]) -> set[tuple[str, str]]:
    """Return ``("", "Builder")`` for ``trt.Builder`` and ``("BuilderFlag", "TF32")`` for ``trt.BuilderFlag.TF32``.

    The module is recognized by the name ``trt``, by those of its packages, or by an alias of an import of these, also
    as an attribute (``self._trt.Builder``). Attributes of objects are ignored, and strings in ``getattr`` and
    ``hasattr``.
    """
    found: set[tuple[str, str]] = set()
    for path in paths:
        found |= names_in(path.read_text())
    return found


def names_in(source: str) -> set[tuple[str, str]]:
    """Return the names that one source uses."""
    tree = ast.parse(source)
    aliases = MODULE_ALIASES | set(_aliases(tree))
    found = {("", name) for name in _imported(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if _module(node.value, aliases):
                found.add(("", node.attr))
            elif isinstance(node.value, ast.Attribute) and _module(node.value.value, aliases):
                found.add((node.value.attr, node.attr))
    return found


def _module(node: ast.expr, aliases: frozenset[str] | set[str]) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in aliases


def _aliases(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.asname for alias in node.names if alias.name in PACKAGES and alias.asname)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            yield from (alias.name for alias in node.names)
