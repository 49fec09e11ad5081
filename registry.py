"""Registries: the members of one kind by name, vbench's own and those that installed packages add.

A package adds a member by an entry point of the registry's group, whose name is the member's; nothing of a package is
imported before its member is used, so that ``vbench --help`` lists it without loading it. vbench's own members may be
named as ``module:attribute`` for the same reason.
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
    """The members of one kind in a fixed order: vbench's own first, then those of packages by name.

    Args:
        noun: what a member is called in an error, such as ``engine``.
        builtin: vbench's own members: objects, or ``.module:attribute`` relative to ``package``.
        group: entry-point group of packages that add members; None: packages cannot.
        package: ``__package__`` of the module that holds the registry.
    """

    def __init__(self, noun: str, builtin: Mapping[str, T | str], group: str | None = None, package: str = "") -> None:
        self.noun = noun
        self._builtin = dict(builtin)
        self._group, self._package = group, package
        self._loaded: dict[str, T] = {}

    def register(self, name: str, member: T) -> None:
        """Add a member in this process.

        Raises:
            UsageError: the name is taken.
        """
        if name in self.names:
            raise UsageError(f"the {self.noun} {name!r} is registered already", "choose another name")
        self._builtin[name] = member

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the registry."""
        return (*self._builtin, *(name for name in self._entry_points if name not in self._builtin))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def get(self, name: str) -> T:
        """Return the member of that name, importing it if need be.

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
        raise UsageError(f"no {self.noun} {name!r}", f"choose one of {', '.join(self.names)}")

    def _import(self, place: str) -> T:
        module, _, attribute = place.partition(":")
        return cast(T, getattr(import_module(module, self._package or None), attribute))

    def _load_entry_point(self, entry: EntryPoint) -> T:
        try:
            return cast(T, entry.load())
        except Exception as error:  # a package may raise anything while it is imported
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise MissingError(
                f"the {self.noun} {entry.name!r} cannot be loaded from {entry.value}: {reason}",
                "install its package again, or remove it",
            ) from error

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._group is None:
            return {}
        return {entry.name: entry for entry in sorted(entry_points(group=self._group), key=lambda entry: entry.name)}
