"""Tables of published points with their sources, shipped next to this module; none are vbench's own measurements."""

from __future__ import annotations

import csv
from pathlib import Path


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of the CSV file ``name`` next to this module, in file order."""
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
