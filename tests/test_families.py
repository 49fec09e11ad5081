"""No code outside the family modules checks the kind of a network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from vbench.export.family import EXPORTERS
from vbench.runtime.families import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in ("bench", "cli", "export", "fit", "models", "plots", "runtime", "tools")
    for path in (ROOT / folder).rglob("*.py")
)
FAMILY_MODULES = {
    "export/frameexit.py",
    "export/frame_counts.py",
    "runtime/networks/frameexit.py",
    "runtime/networks/frame_counts.py",
}
KINDS = {
    *("Manifest", "FrameExitManifest", "FlexibleManifest", "Network", "FrameExit", "FrameFlexible"),
    *("Family", "FrameExitFamily", "FrameCountFamily"),
}
NAMES = {*FAMILIES.names, "tsm", "tea", "slowfast", "uniformer"}
# The published points of the FFN paper are by architecture. The conversion of old files reads the kind of a policy, and
# one kind has the same name as a family.
ALLOWED = {
    "plots/published/ffn.py",
    "bench/migrate/run_record.py",
    "bench/migrate/trace_header.py",
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def kind_checks(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every check of a network's kind in the code, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "type"):
            checked = {part.id for arg in node.args[1:] for part in ast.walk(arg) if isinstance(part, ast.Name)}
            checked |= {part.attr for arg in node.args[1:] for part in ast.walk(arg) if isinstance(part, ast.Attribute)}
            if checked & KINDS:
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = {part.value for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant)}
            if {text for text in texts if isinstance(text, str)} & NAMES:
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Match):
            yield node.lineno, "match"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("isinstance(bundle.manifest, FrameExitManifest)", True),
        ("isinstance(x, (manifest.FlexibleManifest, int))", True),
        ('trace.header.family == "frameexit"', True),
        ('manifest.family in ("tsm", "tea")', True),
        ("isinstance(x, int)", False),
        ('kind == "fixed"', False),
    ],
)
def test_checks_are_found(code: str, found: bool) -> None:
    assert bool(list(kind_checks(ast.parse(code)))) == found


@pytest.mark.parametrize("path", [path for path in SOURCES if name(path) not in FAMILY_MODULES | ALLOWED], ids=name)
def test_no_code_checks_the_kind_of_a_network(path: Path) -> None:
    if name(path) == "models/checkpoint/recognize.py":
        return  # checks whether a recognizer returned a network, independent of its kind
    found = list(kind_checks(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, f"{name(path)}: {found}"


def test_every_family_has_a_runtime_and_an_exporter() -> None:
    assert set(FAMILIES.names) == set(EXPORTERS.names)
    for key, family in FAMILIES.members().items():
        assert (family.name, family.manifest.model_fields["family"].default) == (key, key)
