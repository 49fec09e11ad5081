"""Read Parquet tables at any path, and write them atomically.

polars reports a full disk with an error that does not name the cause, so the table is serialized in memory and its
bytes are written like any other file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import RunError
from ...files import whole_file

if TYPE_CHECKING:
    import polars


def read_table(path: Path, hint: str) -> polars.DataFrame:
    """Return the table in a file.

    Raises:
        RunError: the file is not a readable Parquet table.
    """
    import polars

    try:
        with _without_backtraces():
            return polars.read_parquet(parquet_source(path), glob=False)
    except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
        raise RunError(f"{path} is not readable as Parquet", hint) from None


def read_metadata(path: Path, key: str, hint: str) -> str:
    """Return the text under ``key`` in the footer of a table; "" if there is none.

    Raises:
        RunError: the file is not a readable Parquet table.
    """
    import polars

    try:
        with _without_backtraces():
            return polars.read_parquet_metadata(parquet_source(path)).get(key, "")
    except (OSError, ValueError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
        raise RunError(f"{path} is not readable as Parquet", hint) from None


def parquet_source(path: Path) -> Path | BytesIO:
    """Return what polars can read: the path, or the content of the file if its path is not UTF-8.

    Raises:
        OSError: the content cannot be read.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return BytesIO(path.read_bytes())
    return path


@contextmanager
def _without_backtraces() -> Iterator[None]:
    """Discard native output to stderr: polars panics on some damaged files, and Rust prints each panic."""
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def write_table(path: Path, table: polars.DataFrame, metadata: dict[str, str] | None = None) -> None:
    """Write a table with ``metadata`` in its footer.

    Raises:
        MissingError: the disk is full.
        UsageError: the path cannot be written.
    """
    content = BytesIO()
    table.write_parquet(content, metadata=metadata)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())
