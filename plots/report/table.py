"""A table of a page, before it is HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Table:
    """Cells under their headings, the first of each row naming it.

    ``words`` is how many columns hold words and stand on the left; the rest are numbers. ``notes`` stand below.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int
    notes: tuple[str, ...] = ()

    def without(self, column: str) -> Table:
        """Return the table less a column of numbers."""
        place = self.head.index(column)

        def cut(cells: tuple[str, ...]) -> tuple[str, ...]:
            return (*cells[:place], *cells[place + 1 :])

        return replace(self, head=cut(self.head), rows=tuple(map(cut, self.rows)))
