"""Write Parquet tables atomically.

polars reports a full disk with an error that does not name the cause, so the table is serialized in memory and its
bytes are written like any other file.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import whole_file

if TYPE_CHECKING:
    import polars


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
