"""How commands talk: data on stdout, progress on stderr, ``--json`` exactly one document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
