"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence


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
