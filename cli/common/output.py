"""Command output: data on stdout, progress on stderr, one document with ``--json``, and plain-text tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console
from rich.text import Text

from ...text import printable
from .streams import Stderr

_ERR = Console(file=cast(IO[str], Stderr()), stderr=True)


def print_json(content: Any) -> None:
    """Print one JSON document to stdout."""
    print(json.dumps(content, indent=1))


def print_lines(lines: Iterable[object]) -> None:
    """Print each item to stdout on its own line, without control characters."""
    for line in lines:
        print(printable(str(line)))


def stderr() -> Console:
    """Return the console for progress."""
    return _ERR


def note(message: str) -> None:
    """Print a line to stderr without markup or wrapping."""
    _ERR.print(printable(message), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Show the current stage: a spinner if stderr is a terminal, otherwise one line per stage."""
    if not _ERR.is_terminal:
        yield note
        return
    with _ERR.status("starting") as status:
        yield lambda stage: status.update(Text(printable(stage)))


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """Align the columns of a table: the first ``left`` columns to the left, the rest to the right.

    Cells are made printable, so that each row is one line.
    """
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if column < left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number with its unit, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()
