"""Read Parquet tables at any path, and write them atomically.

polars reports a full disk with an error that does not name the cause, so the table is serialized in memory and its
bytes are written like those of any other file. A table that is too large for that is written and read in row groups.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

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
    """Return a source that polars can read: the path, or the contents of the file if the path is not UTF-8.

    Raises:
        OSError: the file cannot be read.
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


def count_rows(path: Path, hint: str) -> int:
    """Return the number of rows of a table.

    Raises:
        RunError: the file is not a readable Parquet table.
    """
    import polars

    try:
        with _without_backtraces():
            return int(polars.scan_parquet(parquet_source(path), glob=False).select(polars.len()).collect().item())
    except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
        raise RunError(f"{path} is not readable as Parquet", hint) from None


def read_groups(path: Path, rows: int, hint: str) -> Iterator[polars.DataFrame]:
    """Yield a table in pieces of up to ``rows`` rows; a file with row groups is never held entirely in memory.

    Raises:
        RunError: the file is not a readable Parquet table.
    """
    import polars

    total = count_rows(path, hint)
    try:
        scan = polars.scan_parquet(parquet_source(path), glob=False)
        for start in range(0, total, rows):
            with _without_backtraces():
                piece = scan.slice(start, rows).collect()
            yield piece
    except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
        raise RunError(f"{path} is not readable as Parquet", hint) from None


def write_groups(
    path: Path,
    schema: polars.Schema,
    pieces: Callable[[], Iterator[polars.DataFrame]],
    rows: int,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write the table that ``pieces`` yields, in row groups of ``rows`` rows, without holding it in memory.

    Raises:
        MissingError: the disk is full.
        UsageError: the path cannot be written.
    """
    import polars
    from polars.io.plugins import register_io_source

    failures: list[BaseException] = []

    def source(*_: object) -> Iterator[polars.DataFrame]:
        try:
            yield from pieces()
        except BaseException as error:  # polars would turn it into an error of its own
            failures.append(error)
            raise

    with whole_file(path) as temporary, temporary.open("wb", buffering=0) as file:
        table = register_io_source(source, schema=schema)
        try:
            table.sink_parquet(cast("IO[bytes]", _Sink(file, failures)), row_group_size=rows, metadata=metadata)
        except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
            if failures:
                raise failures[0] from None
            raise


class _Sink(RawIOBase):
    """File that records why writing failed, which polars does not report."""

    def __init__(self, file: RawIOBase, failures: list[BaseException]) -> None:
        self._file, self._failures = file, failures

    def writable(self) -> bool:
        return True

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        view, written = memoryview(content), 0
        try:
            while written < len(view):
                written += self._file.write(view[written:]) or 0
        except OSError as error:
            self._failures.append(error)
            raise
        return written
