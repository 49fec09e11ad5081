"""What a section hands to the record: tables to read, what was measured to derive more from, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .turns import Failure


@dataclass(frozen=True)
class Table:
    """A table with a title and what has to be known to read it."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """``measured`` holds frozen dataclasses; ``engines``, how each engine described itself."""

    name: str
    tables: tuple[Table, ...] = ()
    failures: tuple[Failure, ...] = ()
    measured: tuple[object, ...] = ()
    engines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
