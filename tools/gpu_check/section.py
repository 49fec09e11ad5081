"""Output of a section: tables, raw measurements and failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .turns import Failure


@dataclass(frozen=True)
class Table:
    """A table with a title and an explanatory note."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """Results of a section: ``measured`` holds frozen dataclasses, ``engines`` the engine descriptions."""

    name: str
    tables: tuple[Table, ...] = ()
    failures: tuple[Failure, ...] = ()
    measured: tuple[object, ...] = ()
    engines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
