"""Check a table read from Parquet against the schema of its format, before anything is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...errors import RunError

if TYPE_CHECKING:
    import polars

Kind = Literal["text", "truth", "integer", "number", "integers", "numbers"]
MOST_PROBABLE = 1.001  # a softmax in half precision can exceed 1


@dataclass(frozen=True)
class Column:
    """Schema of a column; the plural kinds are lists.

    Attributes:
        null: whether cells may be empty.
        least, most: range of the values, if limited.
        nan: whether values may be NaN; infinite values are always errors.
        unique: whether no two rows may have the same value.
    """

    kind: Kind
    null: bool = False
    least: float | None = 0
    most: float | None = None
    nan: bool = False
    unique: bool = False

    def problem(self, cells: polars.Series) -> str:
        """Return the problem with the cells of a column, or "" if they are valid."""
        if not _is(cells.dtype, self.kind, self.null):
            return f"holds {cells.dtype}, expected {self.kind}"
        if not self.null and cells.null_count():
            return "has an empty cell"
        if self.unique and cells.is_duplicated().any():
            return f"holds {cells.filter(cells.is_duplicated())[0]!r} twice"
        if self.kind in ("text", "truth") or (not cells.dtype.is_nested() and not cells.dtype.is_numeric()):
            return ""
        return self._range_problem(cells.drop_nulls())

    def _range_problem(self, cells: polars.Series) -> str:
        if cells.dtype.is_nested():
            cells = cells.filter(_lengths(cells) > 0).explode()
            if cells.null_count():
                return "holds a list with an empty cell"
        if cells.dtype.is_float():
            if cells.is_infinite().any() or (not self.nan and cells.is_nan().any()):
                return "holds a value that is not finite"
            cells = cells.fill_nan(None)
        least, most = cells.min(), cells.max()
        if self.least is not None and isinstance(least, int | float) and least < self.least:
            return f"holds {least:g}, less than {self.least:g}"
        if self.most is not None and isinstance(most, int | float) and most > self.most:
            return f"holds {most:g}, more than {self.most:g}"
        return ""


def check_table(
    path: Path, what: str, table: polars.DataFrame, columns: Mapping[str, Column], hint: str, *, empty: bool = False
) -> None:
    """Check ``columns`` of a table and ignore its other columns.

    Args:
        what: name of the format, for errors.
        empty: whether the table may have no rows.

    Raises:
        RunError: the table has no rows, or a column is missing or does not match its schema.
    """
    problem = "" if len(table) or empty else "it has no rows"
    for name, column in columns.items():
        if problem:
            break
        found = column.problem(table[name]) if name in table.columns else "is missing"
        problem = f"column {name} {found}" if found else ""
    if problem:
        raise RunError(f"{path} is not a valid {what}: {problem}", hint)


def _is(dtype: polars.DataType, kind: Kind, null: bool) -> bool:
    import polars

    if null and dtype == polars.Null:
        return True
    if kind in ("integers", "numbers"):
        inner = getattr(dtype, "inner", None)
        return inner is not None and (inner.is_integer() if kind == "integers" else inner.is_numeric())
    return {
        "text": dtype == polars.String,
        "truth": dtype == polars.Boolean,
        "integer": dtype.is_integer(),
        "number": dtype.is_numeric(),
    }[kind]


def _lengths(cells: polars.Series) -> polars.Series:
    import polars

    if isinstance(cells.dtype, polars.Array):
        return polars.Series([cells.dtype.shape[0]] * len(cells), dtype=polars.Int64)
    return cells.list.len()
