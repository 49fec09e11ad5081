"""Check calls against signatures like pybind11: by position, keyword and type, using the first matching overload."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

_NOT = object()


@dataclass(frozen=True)
class Parameter:
    """A parameter, its type, whether it is optional, and whether it takes None."""

    name: str
    kind: str
    optional: bool
    nullable: bool


@dataclass(frozen=True)
class Signature:
    """One overload."""

    text: str
    parameters: tuple[Parameter, ...]


@cache
def parse(text: str) -> Signature:
    """Parse ``name(self, a: int, b: str = None)``."""
    inside = text[text.index("(") + 1 : text.rindex(")")]
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", inside) if part.strip() and part.strip() != "self"]
    return Signature(text, tuple(_parameter(part) for part in parts))


def _parameter(part: str) -> Parameter:
    declared, _, default = part.partition(" = ")
    name, _, kind = declared.partition(": ")
    return Parameter(name, kind.strip(), bool(default), default == "None")


class Matcher:
    """Match arguments; ``classes`` and ``enums`` are the module's own types by name."""

    def __init__(self, classes: dict[str, type], enums: dict[str, type]) -> None:
        self.classes, self.enums = classes, enums

    def bind(self, what: str, overloads: list[Signature], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the converted arguments by name, or raise TypeError."""
        for signature in overloads:
            bound = self._bind(signature, args, kwargs)
            if bound is not None:
                return bound
        supported = "; ".join(signature.text for signature in overloads)
        given = ", ".join([repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in kwargs.items()])
        raise TypeError(f"{what}(): incompatible function arguments. Supported: {supported}. Invoked with: {given}")

    def _bind(self, signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        names = [parameter.name for parameter in signature.parameters]
        if len(args) > len(names) or any(name not in names[len(args) :] for name in kwargs):
            return None
        given = dict(zip(names, args)) | kwargs
        bound = {}
        for parameter in signature.parameters:
            if parameter.name not in given:
                if not parameter.optional:
                    return None
                continue
            value = given[parameter.name]
            if value is not None or not parameter.nullable:
                value = self.convert(parameter.kind, value)
            if value is _NOT:
                return None
            bound[parameter.name] = value
        return bound

    def fits(self, kind: str, value: Any) -> bool:
        """Return whether a property of this type accepts the value."""
        return self.convert(kind, value) is not _NOT

    def convert(self, kind: str, value: Any) -> Any:
        """Return the value converted for the implementation, or `_NOT`."""
        if kind in _CONVERT:
            return _CONVERT[kind](value)
        if kind in self.enums:
            return value if isinstance(value, self.enums[kind]) else _NOT
        if kind == "Dims":
            return self._dims(value)
        if kind in self.classes:
            return value if value is None or isinstance(value, self.classes[kind]) else _NOT
        return value

    def _dims(self, value: Any) -> Any:
        if isinstance(value, self.classes["Dims"]):
            return tuple(value)
        return _integers(value)


def _integer(value: Any) -> Any:
    if isinstance(value, (float, str, np.floating)) or not (hasattr(value, "__index__") or hasattr(value, "__int__")):
        return _NOT
    return int(value)


def _integers(value: Any) -> Any:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        return _NOT
    numbers = [_integer(item) for item in value]
    return _NOT if _NOT in numbers else tuple(numbers)


def _buffer(value: Any) -> Any:
    try:
        return bytes(memoryview(value))
    except TypeError:
        return _NOT


def _of(*kinds: type) -> Any:
    return lambda value: value if isinstance(value, kinds) else _NOT


_CONVERT: dict[str, Any] = {
    "SupportsInt": _integer,
    "int": _integer,
    "SupportsFloat": lambda value: float(value) if isinstance(value, (int, float, np.number)) else _NOT,
    "float": lambda value: float(value) if isinstance(value, (int, float, np.number)) else _NOT,
    "str": _of(str),
    "bool": _of(bool, np.bool_),
    "tuple": lambda value: _integers(value) if isinstance(value, tuple) else _NOT,
    "list": lambda value: _integers(value) if isinstance(value, list) else _NOT,
    "Buffer": _buffer,
    "Sequence[SupportsInt]": _integers,
}
