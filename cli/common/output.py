"""Output of commands: data on stdout, progress on stderr, ``--json`` exactly one document; tables of plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

_ERR = Console(stderr=True)


def print_json(content: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(content, indent=1))


def stderr() -> Console:
    """Return the console for progress."""
    return _ERR


def note(message: str) -> None:
    """Print a line on stderr as it is."""
    _ERR.print(message, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Show what is being done, with a spinner where stderr is a terminal and one line for each stage elsewhere."""
    if not _ERR.is_terminal:
        yield note
        return
    with _ERR.status("starting") as status:
        yield status.update


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """Return the rows with their columns one under the other, the first ``left`` of them flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if column < left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number with its unit, or a dash for none."""
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()
