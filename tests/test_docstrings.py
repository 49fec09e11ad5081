"""Every public method is documented; an override may inherit its docstring."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.fakes_triton  # noqa: F401 - the serving code imports a module that only Triton has

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path
    for folder in ("bench", "cli", "export", "models", "plots", "runtime")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py"
)


def module_name(path: Path) -> str:
    return ".".join(("vbench", *path.relative_to(ROOT).with_suffix("").parts))


def classes(path: Path) -> Iterator[type]:
    module = importlib.import_module(module_name(path))
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if cls.__module__ == module.__name__ and not cls.__name__.startswith("_"):
            yield cls


def interface_methods() -> set[str]:
    """Return the documented methods of protocols and abstract classes, whose implementations need no docstring."""
    return {
        method
        for path in MODULES
        for cls in classes(path)
        if getattr(cls, "_is_protocol", False) or inspect.isabstract(cls) or cls.__mro__[1:2] == (object,)
        for method, value in vars(cls).items()
        if getattr(value, "__doc__", None)
    }


@pytest.fixture(scope="module")
def documented_interfaces() -> set[str]:
    return interface_methods()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_public_methods_are_documented(path: Path, documented_interfaces: set[str]) -> None:
    for cls in classes(path):
        for method, value in vars(cls).items():
            if method.startswith("_") or not (inspect.isfunction(value) or isinstance(value, (property, classmethod))):
                continue
            inherited = any(getattr(getattr(base, method, None), "__doc__", None) for base in cls.__mro__[1:])
            documented = value.__doc__ or inherited or method in documented_interfaces or method == "forward"
            assert documented, f"{cls.__module__}.{cls.__qualname__}.{method} has no docstring"
