"""Create fake modules of either major release of TensorRT, and of TensorRT-RTX."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

from .api import MODULES, load_api
from .bindings import Bound, Dims, EnumMember, HostMemory, Implementation, World, make_class, make_enum
from .build import BuilderImpl, MonitorImpl, ParserImpl
from .engine import RuntimeImpl
from .machine import Machine

_LETTERS = {"INTERNAL_ERROR": "F", "ERROR": "E", "WARNING": "W", "INFO": "I", "VERBOSE": "V"}


class _BaseLogger(Implementation):
    api = "ILogger"

    def log(self, severity: Any, msg: str) -> None:
        raise RuntimeError(f'Tried to call pure virtual function "ILogger::log" ({severity}, {msg})')


class _Logger(Implementation):
    api = "Logger"

    def __init__(self, world: World, min_severity: EnumMember | None = None) -> None:
        super().__init__(world)
        self.min_severity = min_severity or world.enum("ILogger.Severity", "WARNING")

    def log(self, severity: EnumMember, msg: str) -> None:
        if int(severity) <= int(self.min_severity):
            print(f"[TRT] [{_LETTERS[severity.name]}] {msg}")  # to stdout, not stderr: the worse case for a program


def make_tensorrt(flavor: str, *, version: str | None = None, machine: Machine | None = None) -> ModuleType:
    """Return a module with the names of a flavor: "10" or "11" for TensorRT, "rtx" for TensorRT-RTX.

    ``version`` is another release with the same names. Every call creates new types, so that modules of several
    flavors can coexist.
    """
    api = load_api(flavor)
    module = ModuleType(MODULES[flavor][0])
    world = World(module, replace(api, version=version or api.version), machine or Machine())
    world.implementations |= {"ILogger": _BaseLogger, "Logger": _Logger, "Builder": BuilderImpl}
    world.implementations |= {"OnnxParser": ParserImpl, "IProgressMonitor": MonitorImpl, "Runtime": RuntimeImpl}
    world.enums |= {name: make_enum(name, members) for name, members in world.api.enums.items()}
    world.classes |= {"Dims": type("Dims", (Dims,), {"__slots__": (), "__module__": "tensorrt"})}
    world.classes |= {"IHostMemory": type("IHostMemory", (HostMemory,), {"__slots__": (), "__module__": "tensorrt"})}
    for name in world.api.classes:
        _make(world, name)
    for name, kind in (world.enums | world.classes).items():
        if "." not in name:
            setattr(module, name, kind)
    for name in world.api.functions:
        setattr(module, name, _missing(name))
    _finish(world)
    return module


def _make(world: World, name: str) -> type:
    if name not in world.classes:
        bases = tuple(_make(world, base) for base in world.api.classes[name]["bases"])
        world.classes[name] = make_class(world, name, bases or (Bound,))
    return world.classes[name]


def _finish(world: World) -> None:
    module = world.module
    for name in ("ILogger", "Logger"):
        kind: Any = world.classes[name]
        kind.Severity = world.enums["ILogger.Severity"]
        for member, value in world.enums["ILogger.Severity"].__members__.items():  # type: ignore[attr-defined]
            setattr(kind, member, value)
    for name, member in world.api.dtypes.items():
        setattr(module, name, world.enum("DataType", member))
    module.__version__ = world.api.version


def _missing(name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"the fake does not implement tensorrt.{name}")

    return call
