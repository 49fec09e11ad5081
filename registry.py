"""Registries: members of one kind by name, both built in and added by installed packages.

A package adds a member through an entry point of the same name in the registry's group. Packages are imported only when
a member is used, so ``vbench --help`` lists members without loading them. Built-in members may be given as
``module:attribute`` for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from .errors import MissingError, UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Members of one kind in a fixed order: built-in members first, then those from packages, by name.

    Args:
        noun: word for a member in errors, such as ``engine``.
        builtin: built-in members: objects, or ``.module:attribute`` relative to ``package``.
        group: entry-point group through which packages add members; None if they cannot.
        package: ``__package__`` of the module that defines the registry.
    """

    def __init__(self, noun: str, builtin: Mapping[str, T | str], group: str | None = None, package: str = "") -> None:
        self.noun = noun
        self._builtin = dict(builtin)
        self._group, self._package = group, package
        self._loaded: dict[str, T] = {}

    def register(self, name: str, member: T) -> None:
        """Add a member, in this process only.

        Raises:
            UsageError: the name is taken.
        """
        if name in self.names:
            raise UsageError(f"the {self.noun} {name!r} is already registered", "choose another name")
        self._builtin[name] = member

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in registry order."""
        return (*self._builtin, *(name for name in self._entry_points if name not in self._builtin))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def get(self, name: str) -> T:
        """Return the member ``name``, importing it if necessary.

        Raises:
            UsageError: there is no such member.
            MissingError: the package that adds it cannot be imported.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def members(self) -> dict[str, T]:
        """Return all members by name, importing them."""
        return {name: self.get(name) for name in self.names}

    def _load(self, name: str) -> T:
        if name in self._builtin:
            member = self._builtin[name]
            return self._import(member) if isinstance(member, str) else member
        if name in self._entry_points:
            return self._load_entry_point(self._entry_points[name])
        raise UsageError(f"unknown {self.noun} {name!r}", f"choose one of {', '.join(self.names)}")

    def _import(self, location: str) -> T:
        module, _, attribute = location.partition(":")
        return cast(T, getattr(import_module(module, self._package or None), attribute))

    def _load_entry_point(self, entry: EntryPoint) -> T:
        try:
            return cast(T, entry.load())
        except Exception as error:  # importing a package may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise MissingError(
                f"cannot load the {self.noun} {entry.name!r} from {entry.value}: {reason}",
                "reinstall its package, or uninstall it",
            ) from error

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._group is None:
            return {}
        return {entry.name: entry for entry in sorted(entry_points(group=self._group), key=lambda entry: entry.name)}
