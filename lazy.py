"""Re-exports of a package that import their module only when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_exports(package: str, **modules: tuple[str, ...]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for ``package`` that finds each public name in its module.

    Args:
        package: ``__name__`` of the package.
        modules: for each module, the public names that it defines.
    """
    home = {name: module for module, names in modules.items() for name in names}

    def getattr_(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{home[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return getattr_
