"""Tables of published points, shipped beside this file: facts with their sources, and never numbers measured here."""

from __future__ import annotations

import csv
from pathlib import Path


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of the table ``name``, a file beside this one, in its order."""
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
