"""Parquet tables on disk, whole or not at all.

polars reports a full disk as an error of its own that does not say what happened; so a table is put together in memory
and its bytes are written like any others.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import whole_file

if TYPE_CHECKING:
    import polars


def write_table(path: Path, table: polars.DataFrame, metadata: dict[str, str] | None = None) -> None:
    """Write a table with what its ``metadata`` say.

    Raises:
        MissingError: the disk is full.
        UsageError: the place cannot be written.
    """
    content = BytesIO()
    table.write_parquet(content, metadata=metadata)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())
