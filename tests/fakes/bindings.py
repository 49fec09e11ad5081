"""Classes, enums and functions that mimic pybind11 bindings, generated from a description of their names.

A class checks the call and forwards it to an implementation, a plain object with methods and attributes of the same
names; a missing one raises NotImplementedError. An implementation keeps the objects alive that it was created from, as
the real bindings do (``keep_alive``): context, engine, runtime, logger; parser and network.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .api import Api
from .machine import Machine
from .misuse import Misuse
from .signatures import Matcher, Signature, parse


class Shape(tuple[int, ...]):
    """A tuple that is returned to users as ``Dims``."""


class Blob(bytes):
    """Bytes that are returned to users as ``IHostMemory``."""


class Implementation:
    """Implementation of a class of the module; ``api`` is the class's name."""

    api = ""

    def __init__(self, world: World) -> None:
        self.world = world


class World:
    """One ``tensorrt`` module: its types, its release, and its machine."""

    def __init__(self, module: ModuleType, api: Api, machine: Machine) -> None:
        self.module, self.api, self.machine = module, api, machine
        self.ten, self.rtx = api.flavor == "10", api.flavor == "rtx"
        self.implementations: dict[str, type[Implementation]] = {}
        self.classes: dict[str, type] = {}
        self.enums: dict[str, type] = {}
        self.matcher = Matcher(self.classes, self.enums)

    def enum(self, kind: str, name: str) -> Any:
        """Return the member of an enum."""
        return self.enums[kind].__members__[name]  # type: ignore[attr-defined]

    def log(self, logger: Any, severity: str, text: str) -> None:
        """Pass a message to the user's logger."""
        self.machine.logs.append((severity, text))
        try:
            logger.log(self.enum("ILogger.Severity", severity), text)
        except Exception as error:
            raise Misuse("exception in ILogger.log", f"the message is lost: {error!r}") from error

    def wrap(self, value: Any) -> Any:
        """Return the user-facing object for an implementation's result."""
        if isinstance(value, Implementation):
            made = object.__new__(self.classes[value.api])
            made._impl = value
            return made
        if isinstance(value, Shape):
            return self.classes["Dims"](tuple(value))
        if isinstance(value, Blob):
            return self.classes["IHostMemory"].__new__(self.classes["IHostMemory"], value)
        return value

    def unwrap(self, value: Any) -> Any:
        """Return the implementation of an argument; loggers remain the user's objects."""
        impl = getattr(value, "_impl", None) if isinstance(value, Bound) else None
        return value if impl is None or isinstance(value, self.classes["ILogger"]) else impl


class EnumMember:
    """A member of a pybind11 enum: equal only to itself, converted to an integer only by ``int``."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and int(self) == int(other)  # type: ignore[call-overload]

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"


def make_enum(name: str, members: dict[str, int]) -> type:
    """Return an enum type."""
    short = name.rpartition(".")[2]
    space: dict[str, Any] = {"__slots__": (), "__module__": "tensorrt", "__members__": {}}
    kind = type(short, (EnumMember,), space)
    for member, value in members.items():
        made = object.__new__(kind)
        EnumMember.__init__(made, member, value)
        setattr(kind, member, made)
        space["__members__"][member] = made
    return kind


class _BoundKind(type):
    """Reject a subclass that does not call ``super().__init__``."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if not hasattr(made, "_impl"):
            raise TypeError(f"{cls.__module__}.{cls.__qualname__}.__init__() must be called when overriding __init__")
        return made


class Bound(metaclass=_BoundKind):
    """Base of all bound classes. It has slots, so that unknown attributes cannot be set."""

    __slots__ = ("__weakref__", "_impl")


def make_class(world: World, name: str, bases: tuple[type, ...]) -> type:
    """Return the class with this name."""
    spec = world.api.classes[name]
    methods = spec.get("methods", {})
    space: dict[str, Any] = {"__slots__": (), "__module__": "tensorrt"}
    for method, texts in methods.items():
        if method != "__init__":
            space[method] = _method(world, name, method, [parse(text) for text in texts])
    for attribute, description in spec.get("properties", {}).items():
        space[attribute] = _property(world, name, attribute, description)
    space["__init__"] = _constructor(world, name, [parse(text) for text in methods.get("__init__", ())])
    return _BoundKind(name, bases, space)


def _constructor(world: World, name: str, overloads: list[Signature]) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes a method
        if not overloads:
            raise TypeError(f"tensorrt.{name}: No constructor defined!")
        bound = world.matcher.bind(f"{name}.__init__", overloads, args, kwargs)
        make = world.implementations.get(name)
        if make is None and type(self) is world.classes[name]:
            raise NotImplementedError(f"the fake has no tensorrt.{name}")
        unwrapped = {key: world.unwrap(value) for key, value in bound.items()}
        self._impl = make(world, **unwrapped) if make else Implementation(world)

    return __init__


def _method(world: World, owner: str, name: str, overloads: list[Signature]) -> Any:
    what = f"{owner}.{name}"

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = world.matcher.bind(what, overloads, args, kwargs)
        function = getattr(self._impl, name, None)
        if function is None:
            raise NotImplementedError(f"the fake does not implement tensorrt.{what}")
        return world.wrap(function(**{key: world.unwrap(value) for key, value in bound.items()}))

    return call


def _property(world: World, owner: str, name: str, description: dict[str, Any]) -> property:
    what = f"tensorrt.{owner}.{name}"

    def get(self: Any) -> Any:
        if not hasattr(self._impl, name):
            raise NotImplementedError(f"the fake does not implement {what}")
        return world.wrap(getattr(self._impl, name))

    def put(self: Any, value: Any) -> None:
        if not hasattr(self._impl, name):
            raise NotImplementedError(f"the fake does not implement {what}")
        if not world.matcher.fits(description["type"] or "object", value):
            raise TypeError(f"{what} does not take {value!r}")
        setattr(self._impl, name, world.unwrap(value))

    return property(get, put if description["writable"] else None)


class Dims(Bound):
    """A shape. It compares with tuples and lists; the real class raises TypeError for another shape."""

    __slots__ = ("_shape",)
    MAX_DIMS = 8

    def __init__(self, shape: Any = ()) -> None:
        self._shape, self._impl = [operator.index(size) for size in shape], None

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, key: Any) -> Any:
        return tuple(self._shape[key]) if isinstance(key, slice) else self._shape[key]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, list)):
            raise TypeError(f"__eq__(): incompatible function arguments. Invoked with: {self!r}, {other!r}")
        return self._shape == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(tuple(self._shape))


class HostMemory(bytes):
    """A plan or a cache: only a buffer, without the other methods of bytes."""

    __slots__ = ()

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") or name in ("dtype", "nbytes"):
            return super().__getattribute__(name)
        raise AttributeError(f"'tensorrt.IHostMemory' object has no attribute {name!r}")

    @property
    def nbytes(self) -> int:
        return memoryview(self).nbytes

    def _refuse(self, *_: object) -> Any:
        raise TypeError("IHostMemory is a buffer: use bytes(memory) or memoryview(memory)")

    __len__ = __getitem__ = __iter__ = __add__ = __contains__ = _refuse  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return True

    def __bytes__(self) -> bytes:
        return memoryview(self).tobytes()
